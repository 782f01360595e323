// The landmark view as a component of the page: properties in, events out; the pixels never pass through here.
import { LandmarkView } from "landmark-view";

export default {
  template: `<div class="landmark-view"></div>`,
  props: { src: String, points: Array, lines: Array, seen: Number, selected: Number, label: String, spacing: Array, aspect: Number, texts: Object, readonly: Boolean },
  emits: ["change", "select", "command", "line", "ready", "failed"],
  mounted() {
    this.view = new LandmarkView(this.$el, {
      emit: (name, detail) => this.$emit(name, detail),
      texts: this.texts,
      readonly: this.readonly,
    });
    this.$el.view = this.view; // for whoever looks at the page from outside
    this.apply();
    this.view.load(this.src);
  },
  unmounted() {
    this.view.destroy();
  },
  methods: {
    apply() {
      this.view.spacing = this.spacing;
      this.view.aspect = this.aspect ?? 1;
      this.$el.setAttribute("aria-label", this.label ?? "");
      this.view.show(this.points ?? [], this.seen ?? 0, this.lines ?? [], this.selected ?? null);
    },
    call(name, ...values) {
      return this.view[name](...values);
    },
  },
  watch: {
    src(source) {
      this.view.load(source);
    },
    points: "apply",
    lines: "apply",
    label: "apply",
    spacing: "apply",
    selected: "apply",
  },
};
