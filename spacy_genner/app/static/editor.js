// The tab "Correct". The server holds the state and saves every step before it answers.
// The page sends one step at a time, in order, and draws the view that comes back.

import { color, draw, node, score, status } from "./spans.js";

const HELP = [
  ["Enter", "All shown spans are right: done, and go to the next open document"],
  ["S", "Skip the document"],
  ["N or →, B or ←", "Next document, previous document"],
  ["Tab, Shift+Tab", "Select the next span, the previous span"],
  ["A, X", "Accept, or reject, the selected span"],
  ["1 to 9, 0", "Label of the selected span, or of the marked text"],
  ["Q, W", "Move the start of the selected span to the left, to the right"],
  ["O, P", "Move its end to the left, to the right"],
  ["E", "Give the selected span the marked text as its place"],
  ["Delete", "Remove the selected span without a trace"],
  ["U or Ctrl+Z, R or Ctrl+Y", "Undo, redo"],
  ["G", "Ask the model again"],
  ["[ and ]", "Previous part, next part of a long document"],
  ["Escape", "Select nothing"],
  ["?", "This help"],
];
const POLL = 4000;

export function mount({ element, server }) {
  new Editor(element.querySelector(".genner-editor"), server).start();
}

class Editor {
  constructor(root, server) {
    this.root = root;
    this.server = server;
    this.view = null;
    this.selected = null;
    // The first and last marked token, and the label that marked text gets at once.
    this.marked = null;
    this.brush = null;
    this.queue = Promise.resolve();
    this.page = pageId();
    this.opening = false;
  }

  start() {
    this.build();
    document.addEventListener("keydown", (event) => this.onKey(event));
    document.addEventListener("mouseup", () => setTimeout(() => this.readSelection()));
    let timer = null;
    document.addEventListener("selectionchange", () => {
      // Touch screens have no end of a selection: wait until it rests.
      clearTimeout(timer);
      timer = setTimeout(() => this.readSelection(), 350);
    });
    setInterval(() => this.poll(), POLL);
    this.send("open");
  }

  // Requests

  send(action, values = {}) {
    this.queue = this.queue.then(() => this.request(action, values));
    return this.queue;
  }

  // Like `send`, with values that depend on the view after the earlier steps.
  sendWith(action, values) {
    this.queue = this.queue.then(() => {
      const found = values();
      return found && this.request(action, found);
    });
    return this.queue;
  }

  async request(action, values) {
    const before = this.view;
    let answer;
    this.root.classList.add("genner-busy");
    try {
      answer = await this.server.correct({
        page: this.page,
        action,
        revision: before?.revision ?? 0,
        ...values,
      });
      if (!answer || typeof answer.session !== "boolean") throw new Error("no answer");
    } catch (error) {
      this.say(
        "The server does not answer. All steps up to this one are saved. Start it " +
          "again with the same command, and reload the page.",
        true,
      );
      return null;
    } finally {
      this.root.classList.remove("genner-busy");
    }
    this.apply(answer, before, action);
    return answer;
  }

  apply(answer, before, action) {
    this.view = answer;
    this.say(answer.error || answer.message || "", Boolean(answer.error));
    this.taken.hidden = !(answer.error ?? "").startsWith("[G890]");
    if (!answer.session) {
      this.showForm(answer);
      return;
    }
    if (action === "open_corpus" && answer.error) {
      this.showForm(answer);
    } else if (action === "open_corpus" || !this.opening) {
      this.opening = false;
      this.form.hidden = true;
      this.work.hidden = false;
    }
    this.follow(before, action, answer.error);
    this.draw();
  }

  // Keep or move the selection after a step.
  follow(before, action, error) {
    const spans = this.view.document.spans;
    const isSame =
      before?.document?.number === this.view.document.number &&
      before?.document?.part === this.view.document.part;
    if (!isSame) {
      this.marked = null;
      this.selected = null;
      window.getSelection()?.removeAllRanges();
      return;
    }
    const known = new Set(before.document.spans.map((span) => span.key));
    const fresh = spans.filter((span) => !known.has(span.key));
    if (!error && fresh.length === 1 && EDITS.has(action)) {
      this.selected = fresh[0].key;
      this.marked = null;
      window.getSelection()?.removeAllRanges();
    } else if (!error && (action === "accept" || action === "reject")) {
      const at = spans.findIndex((span) => span.key === this.selected);
      const next = spans.slice(at + 1).find((span) => span.state === "suggested");
      if (next) this.selected = next.key;
    }
    if (!spans.some((span) => span.key === this.selected)) this.selected = null;
  }

  poll() {
    // The request also tells the server that this page is still there.
    if (!this.view?.session || document.hidden || this.polling) return;
    const { revision, scoring } = this.view;
    this.polling = true;
    this.queue = this.queue.then(async () => {
      try {
        const answer = await this.server.correct({ page: this.page, action: "open" });
        if (!answer?.session) return;
        this.taken.hidden = !(answer.error ?? "").startsWith("[G890]");
        if (answer.revision !== revision || answer.scoring.running || scoring.running) {
          if (answer.revision === this.view.revision) {
            this.view.scoring = answer.scoring;
            this.drawScoring();
          }
        }
      } catch {
        // The next step reports a server that is gone.
      } finally {
        this.polling = false;
      }
    });
  }

  say(text, isError = false) {
    this.message.textContent = text;
    this.message.className = isError ? "genner-error" : "genner-note";
    this.message.hidden = !text;
  }

  // Parts of the page

  build() {
    const button = (label, title, run, options = {}) =>
      node("button", { type: "button", title, onclick: run, ...options }, label);
    this.button = button;
    this.message = node("div", { role: "status", "aria-live": "polite", hidden: true });
    this.taken = node(
      "div",
      { class: "genner-error", hidden: true },
      button("Continue here", "", () => this.send("take_over"), { class: "primary" }),
    );
    this.form = this.buildForm();
    this.files = node("div", { class: "genner-files" });
    this.counts = node("div", { class: "genner-counts" });
    this.bar = node("progress", { max: 1, value: 0, "aria-label": "Progress" });
    this.order = node(
      "select",
      {
        "aria-label": "Order of the documents",
        onchange: () => this.send("order", { order: this.order.value }),
      },
      ...[
        ["corpus", "Order of the corpus"],
        ["margin", "Least certain span first"],
        ["entropy", "Highest mean entropy first"],
        ["random", "Random order"],
      ].map(([value, label]) => node("option", { value }, label)),
    );
    this.scoring = node("span", { class: "genner-note" });
    this.place = node("span", { class: "genner-place" });
    this.number = node("input", {
      type: "number",
      min: 1,
      "aria-label": "Number of the document",
      title: "Go to a document by its number",
      onchange: () => this.send("go", { number: Number(this.number.value) }),
    });
    this.state = node("span", {});
    this.parts = node("span", { class: "genner-parts" });
    this.labels = node("div", { class: "genner-labels", role: "group" });
    this.text = node("div", {
      class: "genner-page",
      tabindex: 0,
      "aria-label": "The document",
      onclick: (event) => this.onClick(event),
      onmousedown: (event) => {
        // A second click selects the next outer span, and does not mark the word.
        if (event.detail > 1 && event.target.closest(".genner-covered")) {
          event.preventDefault();
        }
      },
    });
    this.inspector = node("div", { class: "genner-inspector" });
    this.undo = button("Undo (U)", "Undo the last step", () => this.send("undo"));
    this.redo = button("Redo (R)", "Repeat the step", () => this.send("redo"));
    this.ask = button("Ask the model (G)", "Replace open suggestions", () =>
      this.send("suggest"),
    );
    this.reopen = button("Reopen", "The document is not done", () =>
      this.send("reopen"),
    );
    this.help = dialog("Keys", [
      node(
        "dl",
        {},
        ...HELP.flatMap(([keys, what]) => [
          node("dt", {}, ...keyNames(keys)),
          node("dd", {}, what),
        ]),
      ),
      node(
        "p",
        {},
        "With the mouse: mark words and choose a label, or choose a label first and " +
          "mark words. Click on a label to select its span, and on a word to select " +
          "the innermost span around it; click again for the next outer one.",
      ),
    ]);
    this.commands = dialog("Train with the corrected documents", []);
    this.work = node(
      "div",
      { class: "genner-work", hidden: true },
      node(
        "div",
        { class: "genner-top" },
        this.files,
        node(
          "div",
          { class: "genner-tools" },
          this.order,
          this.scoring,
          button("Commands", "The commands that train with the result", () =>
            this.showCommands(),
          ),
          button("Open…", "Open another corpus", () => this.showForm(this.view)),
          button("Keys (?)", "The keys of the keyboard", () => this.help.showModal()),
        ),
      ),
      node("div", { class: "genner-progress" }, this.bar, this.counts),
      node(
        "div",
        { class: "genner-nav" },
        button("← Back (B)", "Previous document", () => this.send("go", { step: -1 })),
        this.number,
        this.place,
        button("Next (N) →", "Next document", () => this.send("go", { step: 1 })),
        this.parts,
        this.state,
      ),
      this.labels,
      this.text,
      this.inspector,
      node(
        "div",
        { class: "genner-actions" },
        button("Done, next (Enter)", "All shown spans are right", () => this.finish(), {
          class: "primary",
        }),
        button("Skip (S)", "Leave the document out", () => this.send("skip")),
        this.reopen,
        this.undo,
        this.redo,
        this.ask,
      ),
    );
    this.root.replaceChildren(
      this.message,
      this.taken,
      this.form,
      this.work,
      this.help,
      this.commands,
    );
  }

  buildForm() {
    const input = (name, placeholder) =>
      node("input", { type: "text", name, placeholder, autocomplete: "off" });
    this.models = node("select", { name: "model" });
    const order = node(
      "select",
      { name: "order" },
      node("option", { value: "corpus" }, "that of the corpus"),
      node("option", { value: "margin" }, "least certain span first"),
      node("option", { value: "entropy" }, "highest mean entropy first"),
      node("option", { value: "random" }, "random"),
    );
    const field = (label, control) => node("label", {}, node("span", {}, label), control);
    const cancel = node(
      "button",
      {
        type: "button",
        onclick: () => {
          this.opening = false;
          this.form.hidden = true;
          this.work.hidden = false;
          this.say("");
        },
      },
      "Cancel",
    );
    this.cancel = cancel;
    return node(
      "form",
      {
        class: "genner-form",
        hidden: true,
        onsubmit: (event) => {
          event.preventDefault();
          const values = Object.fromEntries(new FormData(this.form));
          this.send("open_corpus", values);
        },
      },
      node(
        "p",
        {},
        "Open a corpus on this machine: a .jsonl file, as ",
        node("code", {}, "genner annotate"),
        " writes it, or a .spacy file. Each step is saved at once to the output, and " +
          "the correction continues if the output exists.",
      ),
      field("Corpus", input("corpus", "corpus.jsonl")),
      field("Output", input("output", "default: NAME.corrected.jsonl beside it")),
      field("Order", order),
      field("Suggestions by", this.models),
      node(
        "div",
        { class: "genner-actions" },
        node("button", { type: "submit", class: "primary" }, "Open"),
        cancel,
      ),
    );
  }

  showForm(view) {
    this.opening = true;
    this.models.replaceChildren(
      ...(view?.models ?? []).map((name) => node("option", { value: name }, name)),
      node("option", { value: "" }, "no model"),
    );
    this.form.hidden = false;
    this.work.hidden = true;
    this.cancel.hidden = !view?.session;
  }

  async showCommands() {
    const answer = await this.server.correct({ page: this.page, action: "commands" });
    const rows = (answer?.commands ?? []).map(({ what, command }) => {
      const copy = node(
        "button",
        {
          type: "button",
          onclick: async () => {
            await navigator.clipboard.writeText(command);
            copy.textContent = "Copied";
          },
        },
        "Copy",
      );
      return node(
        "div",
        { class: "genner-command" },
        node("p", {}, what),
        node("div", {}, node("code", {}, command), copy),
      );
    });
    this.commands.querySelector(".genner-dialog-body").replaceChildren(...rows);
    this.commands.showModal();
  }

  // Drawing

  draw() {
    const { view } = this;
    const { document: doc, counts } = view;
    this.files.replaceChildren(
      node("strong", { title: view.corpus }, short(view.corpus)),
      " → ",
      node("span", { title: view.output }, short(view.output)),
    );
    this.counts.textContent =
      `${counts.done} done · ${counts.skipped} skipped · ${counts.left} left ` +
      `of ${counts.total}`;
    this.bar.value = (counts.done + counts.skipped) / counts.total;
    this.order.value = view.order;
    this.number.value = doc.number;
    this.number.max = counts.total;
    const name = doc.doc_id ? ` · ${doc.doc_id}` : "";
    this.place.textContent = `place ${doc.position} of ${counts.total}${name}`;
    const total = doc.total_spans === 1 ? "1 span" : `${doc.total_spans} spans`;
    this.state.replaceChildren(
      node("span", { class: `genner-badge genner-doc-${doc.state}` }, doc.state),
      node("span", { class: "genner-note" }, ` ${total} `),
      ...status(doc.status, doc.issues),
    );
    this.parts.replaceChildren();
    if (doc.parts > 1) {
      this.parts.append(
        this.button("[", "Previous part", () => this.send("part", { step: -1 })),
        node("span", {}, `part ${doc.part} of ${doc.parts}`),
        this.button("]", "Next part", () => this.send("part", { step: 1 })),
      );
    }
    this.reopen.hidden = doc.state === "open";
    this.undo.disabled = !view.can_undo;
    this.redo.disabled = !view.can_redo;
    this.ask.hidden = !view.can_suggest;
    this.drawScoring();
    this.drawLabels();
    this.drawText();
    this.drawInspector();
  }

  drawScoring() {
    const { scoring, can_suggest: canSuggest } = this.view;
    this.scoring.replaceChildren();
    if (scoring.running) {
      this.scoring.append(
        `the model reads: ${scoring.done} of ${scoring.total} `,
        this.button("Stop", "", () => this.send("stop_scoring")),
      );
    } else if (scoring.error) {
      this.scoring.append(scoring.error);
    } else if (canSuggest && scoring.missing) {
      this.scoring.append(
        this.button(
          `Score ${scoring.missing} documents`,
          "Ask the model about all documents, so that they can be ordered",
          () => this.send("score_all"),
        ),
      );
    } else if (scoring.total) {
      this.scoring.append(
        this.button("Order again", "Use the new scores", () =>
          this.send("order", { order: this.order.value }),
        ),
      );
    }
  }

  drawLabels() {
    const { labels } = this.view;
    const chips = labels.map((label, index) => {
      const made = node(
        "button",
        {
          type: "button",
          class: "genner-label",
          "aria-pressed": String(this.brush === label),
          title: "Label of the selected span or the marked text",
          onclick: () => this.useLabel(label),
        },
        index < 10 ? node("kbd", {}, String((index + 1) % 10)) : null,
        label,
      );
      made.style.backgroundColor = color(label, labels);
      return made;
    });
    const input = node("input", {
      type: "text",
      placeholder: "another label",
      "aria-label": "Another label",
      onkeydown: (event) => {
        if (event.key === "Enter" && input.value.trim()) {
          this.useLabel(input.value.trim());
          input.value = "";
          this.text.focus();
        }
        event.stopPropagation();
      },
    });
    this.labels.replaceChildren(...chips, input);
  }

  drawText() {
    const { document: doc, labels } = this.view;
    if (!doc.tokens.length) {
      this.text.replaceChildren(node("em", {}, "This document has no text."));
      return;
    }
    this.text.replaceChildren(draw(doc, labels, this.selected));
    this.drawMarks();
  }

  drawMarks() {
    const [first, last] = this.marked ?? [1, 0];
    for (const made of this.text.querySelectorAll(".genner-token")) {
      const number = Number(made.dataset.token);
      made.classList.toggle("genner-marked", number >= first && number <= last);
    }
  }

  drawInspector() {
    const span = this.current();
    const { button } = this;
    if (span) {
      const facts = [span.state];
      if (span.score != null) facts.unshift(`score ${score(span.score)}`);
      if (!span.aligned) facts.push("boundaries inside of tokens");
      const label = node("span", { class: "genner-label" }, span.label);
      label.style.backgroundColor = color(span.label, this.view.labels);
      this.inspector.replaceChildren(
        node(
          "div",
          { class: "genner-what" },
          label,
          node("q", {}, span.text),
          node("span", { class: "genner-note" }, facts.join(" · ")),
        ),
        node(
          "div",
          { class: "genner-edits" },
          button("Accept (A)", "", () => this.act("accept")),
          button("Reject (X)", "", () => this.act("reject")),
          node(
            "span",
            { class: "genner-pair", role: "group", "aria-label": "Start of the span" },
            "Start",
            button("◂", "Start to the left (Q)", () => this.move("start", -1)),
            button("▸", "Start to the right (W)", () => this.move("start", 1)),
          ),
          node(
            "span",
            { class: "genner-pair", role: "group", "aria-label": "End of the span" },
            "End",
            button("◂", "End to the left (O)", () => this.move("end", -1)),
            button("▸", "End to the right (P)", () => this.move("end", 1)),
          ),
          this.marked
            ? button("Use the marked text (E)", "", () => this.resize())
            : null,
          button("Delete", "Remove without a trace (Delete)", () => this.act("delete")),
        ),
      );
    } else if (this.marked) {
      const [first, last] = this.marked;
      const base = this.view.document.first_token;
      const words = this.view.document.tokens
        .slice(first - base, last - base + 1)
        .map(([word, after], at) => (at < last - first ? word + after : word))
        .join("");
      this.inspector.replaceChildren(
        node(
          "div",
          { class: "genner-what" },
          "Marked: ",
          node("q", {}, words.slice(0, 200)),
          node("span", { class: "genner-note" }, "Choose a label for it."),
        ),
      );
    } else {
      const hint = this.brush
        ? `Marked text becomes ${this.brush} at once. Escape ends that.`
        : "Select a span, or mark words with the mouse. Press ? for the keys.";
      this.inspector.replaceChildren(node("div", { class: "genner-note" }, hint));
    }
  }

  // What a person does

  current() {
    return this.view?.document?.spans.find((span) => span.key === this.selected) ?? null;
  }

  select(key) {
    this.selected = key;
    this.drawText();
    this.drawInspector();
    const found = this.text.querySelector(".genner-selected");
    found?.scrollIntoView({ block: "nearest" });
  }

  finish() {
    this.send("finish");
  }

  act(action) {
    this.sendWith(action, () => this.selected && { key: this.selected });
  }

  move(side, step) {
    this.sendWith("move", () => this.selected && { key: this.selected, side, step });
  }

  resize() {
    this.sendWith("resize", () => {
      if (!this.selected || !this.marked) return null;
      const [first, last] = this.marked;
      return { key: this.selected, first, last };
    });
  }

  useLabel(label) {
    if (this.marked && !this.selected) {
      this.addMarked(label);
    } else if (this.selected) {
      this.sendWith("relabel", () => this.selected && { key: this.selected, label });
    } else {
      this.brush = this.brush === label ? null : label;
      this.drawLabels();
      this.drawInspector();
    }
  }

  addMarked(label) {
    this.sendWith("add", () => {
      if (!this.marked) return null;
      const [first, last] = this.marked;
      return { first, last, label };
    });
  }

  cycle(step) {
    const { spans } = this.view.document;
    if (!spans.length) return;
    const at = spans.findIndex((span) => span.key === this.selected);
    const next = at < 0 ? (step > 0 ? 0 : spans.length - 1) : at + step;
    this.select(spans[(next + spans.length) % spans.length].key);
  }

  onClick(event) {
    const bar = event.target.closest("[data-key]");
    if (bar) {
      this.marked = null;
      this.select(bar.dataset.key);
      return;
    }
    const selection = window.getSelection();
    if (selection && !selection.isCollapsed) return;
    const found = event.target.closest(".genner-token");
    if (!found) {
      this.clear();
      return;
    }
    const number = Number(found.dataset.token);
    if (event.shiftKey && this.marked) {
      const [first, last] = this.marked;
      this.mark(Math.min(first, number), Math.max(last, number));
      return;
    }
    // The innermost span first, and with each further click the next outer one.
    const around = this.view.document.spans
      .filter((span) => span.first <= number && number <= span.last)
      .sort((a, b) => a.last - a.first - (b.last - b.first));
    if (!around.length) {
      this.selected = null;
      this.mark(number, number);
      return;
    }
    const at = around.findIndex((span) => span.key === this.selected);
    this.marked = null;
    this.select(around[(at + 1) % around.length].key);
  }

  readSelection() {
    const selection = window.getSelection();
    if (!this.view?.session || !selection || selection.isCollapsed) return;
    const range = selection.getRangeAt(0);
    if (!this.text.contains(range.commonAncestorContainer)) return;
    const numbers = [...this.text.querySelectorAll(".genner-token")]
      .filter((made) => touches(range, made))
      .map((made) => Number(made.dataset.token));
    if (!numbers.length) return;
    const [first, last] = [numbers[0], numbers[numbers.length - 1]];
    if (this.marked && this.marked[0] === first && this.marked[1] === last) return;
    this.mark(first, last);
  }

  mark(first, last) {
    this.marked = [first, last];
    if (this.brush && !this.selected) {
      this.addMarked(this.brush);
      return;
    }
    this.drawMarks();
    this.drawInspector();
  }

  clear() {
    this.selected = null;
    this.marked = null;
    window.getSelection()?.removeAllRanges();
    this.drawText();
    this.drawInspector();
  }

  onKey(event) {
    const isHidden = this.root.offsetParent === null || this.work.hidden;
    const target = event.target;
    const types = target.closest?.("input, textarea, select, [contenteditable]");
    if (isHidden || !this.view?.session || types) return;
    if (this.help.open || this.commands.open) return;
    const isButton = target.closest?.("button") && [" ", "Enter"].includes(event.key);
    if (isButton && !target.classList.contains("genner-page")) return;
    const run = this.command(event);
    if (run) {
      event.preventDefault();
      run();
    }
  }

  command(event) {
    const { key } = event;
    if (event.ctrlKey || event.metaKey) {
      const letter = key.toLowerCase();
      if (letter === "z") return () => this.send(event.shiftKey ? "redo" : "undo");
      if (letter === "y") return () => this.send("redo");
      return null;
    }
    if (event.altKey) return null;
    if (/^[0-9]$/.test(key)) {
      const label = this.view.labels[(Number(key) + 9) % 10];
      return label ? () => this.useLabel(label) : null;
    }
    const name = key.length === 1 ? key.toLowerCase() : key;
    return {
      Enter: () => this.finish(),
      s: () => this.send("skip"),
      n: () => this.send("go", { step: 1 }),
      ArrowRight: () => this.send("go", { step: 1 }),
      b: () => this.send("go", { step: -1 }),
      ArrowLeft: () => this.send("go", { step: -1 }),
      Tab: () => this.cycle(event.shiftKey ? -1 : 1),
      a: () => this.act("accept"),
      x: () => this.act("reject"),
      q: () => this.move("start", -1),
      w: () => this.move("start", 1),
      o: () => this.move("end", -1),
      p: () => this.move("end", 1),
      e: () => this.resize(),
      Delete: () => this.act("delete"),
      Backspace: () => this.act("delete"),
      u: () => this.send("undo"),
      r: () => this.send("redo"),
      g: () => this.view.can_suggest && this.send("suggest"),
      "[": () => this.send("part", { step: -1 }),
      "]": () => this.send("part", { step: 1 }),
      Escape: () => {
        this.brush = null;
        this.clear();
        this.drawLabels();
      },
      "?": () => this.help.showModal(),
    }[name];
  }
}

const EDITS = new Set(["add", "relabel", "move", "resize"]);

// Whether a range selects a part of a token, and not only its edge.
function touches(range, made) {
  const word = made.querySelector(".genner-word")?.firstChild ?? made.firstChild;
  const own = document.createRange();
  own.selectNodeContents(word);
  return (
    range.compareBoundaryPoints(Range.END_TO_START, own) < 0 &&
    range.compareBoundaryPoints(Range.START_TO_END, own) > 0
  );
}

function keyNames(keys) {
  return keys
    .split(/( or | and | to |, |\+)/)
    .map((part, index) => (index % 2 ? part : node("kbd", {}, part)));
}

function dialog(title, children) {
  const close = node("button", { type: "button", onclick: () => made.close() }, "Close");
  const body = node("div", { class: "genner-dialog-body" }, ...children);
  const made = node(
    "dialog",
    { class: "genner-dialog" },
    node("header", {}, node("strong", {}, title), close),
    body,
  );
  return made;
}

function pageId() {
  let found = sessionStorage.getItem("genner-page");
  if (!found) {
    found = crypto.randomUUID?.() ?? String(Math.random()).slice(2);
    sessionStorage.setItem("genner-page", found);
  }
  return found;
}

function short(path) {
  return path.length > 44 ? `…${path.slice(-43)}` : path;
}
