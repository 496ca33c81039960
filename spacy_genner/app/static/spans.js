// Draws a text with nested spans, as displaCy's style "span" does: the spans of a token
// are bars below it, the outer one first, and a label stands where its span begins.
// Texts and labels only become text nodes and never HTML.

const COLORS = [
  "#7aecec", "#feca74", "#bfeeb7", "#ff9fb3", "#aab8ff", "#f2ea6d", "#d9b8ff",
  "#8fd3f4", "#ffb48f", "#9fe3c5", "#e8c9a0", "#c7d36f", "#f3a6e0", "#b5c7d6",
];
// The height of a lane, and of the line above the lanes, in pixels.
const LANE = 21;
const LINE = 27;
const MARKS = { accepted: "✓", changed: "✎", added: "+", rejected: "✕" };

export function node(tag, options = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (name === "class") made.className = value;
    else if (name === "data") Object.assign(made.dataset, value);
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null && child !== false));
  return made;
}

export function color(label, labels) {
  const at = labels.indexOf(label);
  if (at >= 0) return COLORS[at % COLORS.length];
  let hash = 0;
  for (const char of label) hash = (hash * 31 + char.codePointAt(0)) >>> 0;
  return COLORS[hash % COLORS.length];
}

export function score(value) {
  return value == null ? "" : value.toFixed(2);
}

// The first lane that no earlier span occupies, so that nested spans are stacked.
function lanes(spans) {
  const ends = [];
  const sorted = [...spans].sort(
    (a, b) => a.first - b.first || b.last - a.last || (a.label < b.label ? -1 : 1),
  );
  return sorted.map((span) => {
    let lane = ends.findIndex((end) => end < span.first);
    if (lane < 0) lane = ends.length;
    ends[lane] = span.last;
    return { ...span, lane };
  });
}

// view: { lead, tokens: [[text, white space after it]], spans, first_token }
// A span has the numbers of its first and last token, counted over the document.
export function draw(view, labels, selected = null) {
  const base = view.first_token ?? 0;
  const text = node("div", { class: "genner-text", dir: "auto" });
  if (view.lead) text.append(view.lead);
  const covering = view.tokens.map(() => []);
  for (const span of lanes(view.spans)) {
    const first = Math.max(span.first, base);
    const last = Math.min(span.last, base + view.tokens.length - 1);
    for (let at = first; at <= last; at++) {
      covering[at - base].push({ ...span, begins: at === first, ends: at === last });
    }
  }
  view.tokens.forEach(([word, after], index) => {
    text.append(...token(word, after, base + index, covering[index], labels, selected));
  });
  return text;
}

function token(word, after, number, spans, labels, selected) {
  const data = { token: number };
  if (!spans.length) {
    return [node("span", { class: "genner-token", data }, word), after];
  }
  const inner = node("span", { class: "genner-word" }, word);
  const gap = after.includes("\n") ? "" : after;
  const made = node("span", { class: "genner-token genner-covered", data }, inner, gap);
  if (word.length > 24) made.classList.add("genner-long");
  const depth = Math.max(...spans.map((span) => span.lane)) + 1;
  made.style.paddingBottom = `${depth * LANE + 3}px`;
  for (const span of spans) {
    // A bar ends with its word, and otherwise reaches over the gap to the next one.
    (span.ends ? inner : made).append(bar(span, labels, selected));
    if (span.begins) {
      const label = chip(span, labels, selected);
      made.append(label);
      if (span.ends) {
        // A short word is as wide as its label, so that labels do not overlap.
        const size = label.textContent.length * 6.7 + 12;
        made.style.minWidth = `${Math.round(size)}px`;
      }
    }
  }
  // A line does not break between tokens that the text does not separate.
  return [made, after.includes("\n") ? after : after ? "" : "\u2060"];
}

function bar(span, labels, selected) {
  const made = node("span", { class: "genner-bar", data: { key: span.key } });
  made.style.top = `${LINE + span.lane * LANE}px`;
  paint(made, span, labels, selected);
  return made;
}

function chip(span, labels, selected) {
  const state = MARKS[span.state] ? `${MARKS[span.state]} ` : "";
  const warning = span.aligned === false ? "⚠ " : "";
  const made = node(
    "span",
    { class: "genner-chip", data: { key: span.key }, title: title(span) },
    `${state}${warning}${span.label}`,
  );
  if (span.score != null) {
    made.append(" ", node("span", { class: "genner-score" }, score(span.score)));
  }
  made.style.top = `${LINE + span.lane * LANE}px`;
  paint(made, span, labels, selected);
  return made;
}

function paint(made, span, labels, selected) {
  made.style.backgroundColor = color(span.label, labels);
  if (span.state) made.classList.add(`genner-${span.state}`);
  if (span.alone) made.classList.add("genner-alone");
  if (span.key === selected) made.classList.add("genner-selected");
}

function title(span) {
  const parts = [span.text, span.label];
  if (span.score != null) parts.push(`score ${span.score.toFixed(3)}`);
  if (span.state) parts.push(span.state);
  if (span.aligned === false) parts.push("its boundaries are inside of tokens");
  if (span.alone) parts.push("not found by the other pipeline");
  return parts.join(" · ");
}

const STATUS = {
  ok: "",
  windowed: "The text was longer than a window, so it was read in parts.",
  repaired: "The output of the model was not used as it is.",
  failed: "The model failed on this text.",
};

// The status of a document with what the model or its parser reported.
export function status(state, issues) {
  if (!state || (state === "ok" && !issues.length)) return [];
  const badge = node(
    "span",
    { class: `genner-badge genner-status-${state}`, title: STATUS[state] ?? "" },
    state,
  );
  if (!issues.length) return [badge];
  const list = node(
    "ul",
    {},
    ...issues.map((issue) =>
      node(
        "li",
        {},
        node("code", {}, String(issue.code ?? "issue")),
        ` ${issue.message ?? ""}`,
      ),
    ),
  );
  const count = issues.length === 1 ? "1 issue" : `${issues.length} issues`;
  const open = state === "failed";
  return [
    badge,
    node("details", { class: "genner-issues", open }, node("summary", {}, count), list),
  ];
}
