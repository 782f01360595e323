"""The paper's tables and figures, cell by cell, through the bundle's own configurations."""
