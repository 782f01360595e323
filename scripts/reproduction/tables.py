def write_table(*a): raise SystemExit("later")
