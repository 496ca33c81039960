// The tab "Try": the annotations of a text by one or two pipelines.

import { draw, node, status } from "./spans.js";

export function mount({ element, props, watch }) {
  const root = element.querySelector(".genner-viewer");
  const show = () => {
    const { error = "", panels = [], labels: known = [] } = props.value ?? {};
    const labels = [...known];
    for (const panel of panels) {
      for (const span of panel.spans) {
        if (!labels.includes(span.label)) labels.push(span.label);
      }
    }
    root.replaceChildren();
    if (error) {
      root.append(node("div", { class: "genner-error", role: "alert" }, error));
    }
    if (panels.length) {
      const grid = node("div", { class: "genner-panels" });
      grid.append(...panels.map((panel) => drawPanel(panel, labels)));
      root.append(grid);
    }
    if (panels.some((panel) => panel.spans.some((span) => span.alone))) {
      root.append(
        node(
          "p",
          { class: "genner-note" },
          "A dashed label is on a span that the other pipeline did not find.",
        ),
      );
    }
  };
  watch("value", show);
  show();
}

function drawPanel(panel, labels) {
  const count = panel.spans.length;
  const hidden = panel.hidden ? `, ${panel.hidden} below the minimum score` : "";
  return node(
    "section",
    { class: "genner-panel" },
    node(
      "header",
      {},
      node("strong", { title: panel.title }, short(panel.title)),
      node(
        "span",
        { class: "genner-note" },
        `${count} ${count === 1 ? "span" : "spans"}${hidden} · ${panel.seconds} s`,
      ),
      ...status(panel.status, panel.issues),
    ),
    draw(panel, labels),
  );
}

function short(name) {
  return name.length > 40 ? `…${name.slice(-39)}` : name;
}
