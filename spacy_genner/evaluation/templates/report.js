"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { kinds, names, strings, runs } = data;
  const CORRECT = 0;
  const BATCH = 25;
  const PRINTED = 300;
  const LEVEL = 17;
  const collator = new Intl.Collator(undefined, { numeric: true });

  const make = (tag, style, text) => {
    const element = document.createElement(tag);
    if (style) element.className = style;
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // Downloads

  const save = (name, type, text) => {
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };
  const saveJSON = (name, value) =>
    save(name, "application/json", JSON.stringify(value, null, 1) + "\n");
  const saveCSV = (name, rows) => save(name, "text/csv;charset=utf-8", rows.map(toCSV).join(""));
  const toCSV = (row) => row.map(csvCell).join(",") + "\r\n";
  const csvCell = (value) => {
    let text = value === null || value === undefined ? "" : String(value);
    // Spreadsheets run text that starts like this as a formula.
    if (typeof value === "string" && /^[=+\-@\t\r]/.test(text) && isNaN(Number(text))) {
      text = "'" + text;
    }
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };

  for (const button of document.querySelectorAll("button.csv")) {
    button.addEventListener("click", () => {
      const table = document.getElementById(button.dataset.table);
      const rows = [...table.rows].map((row) =>
        [...row.cells].map((cell) => cell.textContent.trim().replace(/\s+/g, " ")),
      );
      saveCSV(button.dataset.file, rows);
    });
  }

  // Tables

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    const original = [...body.rows];
    heads.forEach((head, column) => {
      const button = make("button", "", head.textContent);
      button.type = "button";
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const first = column === 0 ? "ascending" : "descending";
        const second = column === 0 ? "descending" : "ascending";
        const now = head.getAttribute("aria-sort");
        const next = now === first ? second : now === second ? null : first;
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        const rows = [...original];
        if (next) {
          head.setAttribute("aria-sort", next);
          const sign = next === "ascending" ? 1 : -1;
          const key = (row) => {
            const cell = row.cells[column];
            const text = cell.dataset.sort ?? cell.textContent.trim();
            return text !== "" && !isNaN(text) ? Number(text) : text;
          };
          rows.sort((a, b) => {
            const [x, y] = [key(a), key(b)];
            const order = typeof x === "number" && typeof y === "number" ? x - y : collator.compare(x, y);
            return sign * order;
          });
        }
        body.append(...rows);
      });
    });
  }

  for (const cell of document.querySelectorAll("td[data-share]")) {
    const share = 0.12 + 0.55 * Number(cell.dataset.share);
    cell.style.setProperty("--share", share.toFixed(3));
  }

  // Theme and print

  const theme = document.getElementById("theme");
  const systemDark = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => {
    try {
      return localStorage.getItem("genner-theme");
    } catch {
      return null;
    }
  };
  const isDark = () => (document.documentElement.dataset.theme ?? (systemDark.matches ? "dark" : "light")) === "dark";
  const showTheme = () => {
    theme.textContent = isDark() ? "Light mode" : "Dark mode";
  };
  if (stored() === "dark" || stored() === "light") document.documentElement.dataset.theme = stored();
  theme.addEventListener("click", () => {
    const next = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem("genner-theme", next);
    } catch {
      // A page from a file may have no storage.
    }
    showTheme();
  });
  systemDark.addEventListener("change", showTheme);
  theme.hidden = false;
  showTheme();
  const printButton = document.getElementById("print");
  printButton.hidden = false;
  printButton.addEventListener("click", () => print());
  for (const element of document.querySelectorAll(".downloads, .filters")) element.hidden = false;

  // Drawing of spans

  const words = Intl.Segmenter ? new Intl.Segmenter(undefined, { granularity: "word" }) : null;

  // Offsets are in code points, as in Python; JavaScript counts UTF-16 units.
  const unitsOf = (text) => {
    if (!/[\ud800-\udbff]/.test(text)) return null;
    const places = [];
    let unit = 0;
    for (const character of text) {
      places.push(unit);
      unit += character.length;
    }
    places.push(unit);
    return places;
  };

  const describe = (run, kind, gold, predicted, above) => {
    const label = (span) => run.labels[span[2]];
    const score = predicted && run.scored ? predicted[3].toFixed(2) : "";
    if (above) return [label(gold), kind === CORRECT ? "" : kinds[kind] === "missed" ? "missed" : ""];
    const wrong = gold && gold[2] !== predicted[2];
    const text = wrong ? `${label(gold)} → ${label(predicted)}` : label(predicted);
    const note = kinds[kind] === "invented" ? "spurious" : "";
    return [text, [score, note].filter(Boolean).join(" ")];
  };

  const placeLevels = (items) => {
    // Short spans are next to the text. A tag needs room after the start of its span.
    items.sort((a, b) => a.end - a.start - (b.end - b.start) || a.start - b.start);
    for (const item of items) {
      const need = item.start + Math.ceil((item.tag.join(" ").length + 1) * 0.8);
      item.reach = Math.max(item.end, need);
      const taken = new Set();
      let lowest = 0;
      for (const other of items) {
        if (other === item) break;
        if (other.start < item.reach && item.start < other.reach) taken.add(other.level);
        if (other.start < item.end && item.start < other.end) lowest = Math.max(lowest, other.level + 1);
      }
      item.level = lowest;
      while (taken.has(item.level)) item.level += 1;
    }
  };

  const draw = (run, passage) => {
    const [, , place, , marks] = passage;
    const text = strings[place];
    const units = unitsOf(text);
    const size = units ? units.length - 1 : text.length;
    const slice = (start, end) => (units ? text.slice(units[start], units[end]) : text.slice(start, end));
    const all = [];
    for (const [kind, gold, predicted] of marks) {
      for (const [span, up] of [[gold, true], [predicted, false]]) {
        if (!span) continue;
        const start = Math.max(0, Math.min(span[0], size));
        const end = Math.max(start, Math.min(span[1], size));
        all.push({ kind, up, start, end, tag: describe(run, kind, gold, predicted, up) });
      }
    }
    const lines = make("div", "lines");
    let start = 0;
    const characters = units ? Array.from(text) : text;
    for (let place = 0; place <= size; place += 1) {
      const ends = place === size || characters[place] === "\n";
      if (!ends || all.some((item) => item.start <= place && item.end > place)) continue;
      const inside = all.filter((item) => item.start >= start && item.start <= place && item.end <= place);
      if (place > start) lines.append(drawLine(start, place, inside, slice));
      start = place + 1;
    }
    return lines;
  };

  const drawLine = (from, to, all, slice) => {
    const above = all.filter((item) => item.up);
    const below = all.filter((item) => !item.up);
    placeLevels(above);
    placeLevels(below);
    const drawn = make("div", "drawn");
    drawn.dir = "auto";
    const edges = new Set([from, to]);
    for (const item of all) edges.add(item.start).add(item.end);
    const cuts = [...edges].sort((a, b) => a - b);
    const empty = all.filter((item) => item.start === item.end);
    cuts.forEach((start, index) => {
      const here = empty.filter((item) => item.start === start);
      if (here.length) drawn.append(bit("\u200b", here.map((item) => [item, true, true])));
      const end = cuts[index + 1];
      if (end === undefined) return;
      const covering = all.filter((item) => item.start <= start && item.end >= end && item.start < item.end);
      if (!covering.length) {
        drawn.append(slice(start, end));
        return;
      }
      // Each word has its own part of the line, so that lines can break between words.
      const pieces = split(slice(start, end));
      pieces.forEach((piece, number) => {
        if (/^\s*\n\s*$/.test(piece) && number) {
          drawn.append(piece);
          return;
        }
        const parts = covering.map((item) => [
          item,
          item.start === start && number === 0,
          item.end === end && number === pieces.length - 1,
        ]);
        drawn.append(bit(piece, parts));
      });
    });
    return drawn;
  };

  const split = (text) => {
    if (!/\s/.test(text) && text.length <= 12) return [text];
    if (words) return Array.from(words.segment(text), (part) => part.segment);
    return text.match(/\s+|\S{1,20}/gu) ?? [text];
  };

  const bit = (text, parts) => {
    const element = make("span", "bit", text);
    const levels = Math.max(...parts.map(([item]) => item.level + 1));
    // A line is as high as its own spans need.
    element.style.lineHeight = `${26 + 2 * levels * LEVEL}px`;
    for (const [item, first, last] of parts) {
      const { up } = item;
      const kind = kinds[item.kind];
      const rule = make("i", `rule ${kind}`);
      if (kind === "missed" || kind === "invented") rule.classList.add("dashed");
      if (item.kind === CORRECT) rule.classList.add("thin");
      if (first) rule.classList.add("from");
      if (last) rule.classList.add("to");
      rule.style[up ? "bottom" : "top"] = `calc(100% + ${item.level * LEVEL}px)`;
      element.append(rule);
      if (first) {
        const tag = make("i", `tag ${kind}`, item.tag[0]);
        if (item.tag[1]) tag.append(" ", make("small", "", item.tag[1]));
        tag.style[up ? "bottom" : "top"] = `calc(100% + ${item.level * LEVEL + 3}px)`;
        element.append(tag);
      }
    }
    return element;
  };

  // Tags start with their span. One that would leave the box is moved into it.
  const settle = (drawn) => {
    const box = drawn.getBoundingClientRect();
    if (!box.width) return;
    const tags = [...drawn.querySelectorAll(".tag")];
    const side = getComputedStyle(drawn).direction === "rtl" ? "right" : "left";
    for (const tag of tags) {
      tag.style.marginLeft = tag.style.marginRight = "";
      tag.style[side] = "0";
    }
    const places = tags.map((tag) => tag.getBoundingClientRect());
    tags.forEach((tag, index) => {
      const { left, right } = places[index];
      const shift = right > box.right ? box.right - right : left < box.left ? box.left - left : 0;
      if (shift) tag.style[side === "left" ? "marginLeft" : "marginRight"] = `${side === "left" ? shift : -shift}px`;
    });
  };

  // One evaluation

  const matches = (run, filter, [kind, gold, predicted]) => {
    if (!filter.kinds.has(kind)) return false;
    if (filter.label >= 0 && !(gold && gold[2] === filter.label) && !(predicted && predicted[2] === filter.label)) return false;
    if (filter.scores) {
      if (!predicted || predicted[3] < filter.low || predicted[3] > filter.high) return false;
    }
    const { pair } = filter;
    if (!pair) return true;
    if (pair.kind !== undefined && kinds[kind] !== pair.kind) return false;
    if (pair.gold !== undefined && (!gold || gold[2] !== pair.gold)) return false;
    return pair.predicted === undefined || (predicted && predicted[2] === pair.predicted);
  };

  const views = [...document.querySelectorAll("article.run")].map((article) => {
    const run = runs[Number(article.dataset.run)];
    article.querySelector("button.result").addEventListener("click", () => saveJSON(`${run.name}.json`, run.result));
    const section = article.querySelector(".examples");
    if (!section) return null;
    const form = section.querySelector("form");
    const list = section.querySelector(".list");
    const more = section.querySelector(".more");
    const found = section.querySelector(".found");
    const chosen = section.querySelector(".chosen");
    const fields = form.elements;
    run.labels.forEach((label, index) => {
      const option = make("option", "", label);
      option.value = index;
      fields.label.append(option);
    });
    let pair = null;
    let selected = [];
    let shown = 0;

    const counts = new Map();
    for (const passage of run.passages) {
      if (!passage[4].length) counts.set(-1, (counts.get(-1) ?? 0) + 1);
      for (const [kind] of passage[4]) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    }
    for (const count of section.querySelectorAll(".count[data-kind]")) {
      count.textContent = (counts.get(Number(count.dataset.kind)) ?? 0).toLocaleString("en");
    }
    const boxes = [...form.querySelectorAll('input[name="kind"]')];
    // Without any error, show the correct spans.
    if (![...counts.keys()].some((kind) => kind > CORRECT)) boxes[CORRECT].defaultChecked = boxes[CORRECT].checked = true;

    const readFilter = () => {
      const low = fields.low ? Number(fields.low.value || 0) : 0;
      const high = fields.high ? Number(fields.high.value || 1) : 1;
      return {
        kinds: new Set(boxes.filter((box) => box.checked).map((box) => Number(box.value))),
        label: fields.label.value === "" ? -1 : Number(fields.label.value),
        low,
        high,
        scores: low > 0 || high < 1,
        status: fields.status.value,
        search: fields.search.value.trim().toLowerCase(),
        pair,
      };
    };
    const bestError = (passage) =>
      passage[4].reduce((best, [kind, , predicted]) => (kind !== CORRECT && predicted ? Math.max(best, predicted[3]) : best), -1);
    const lowestScore = (passage) =>
      passage[4].reduce((least, [, , predicted]) => (predicted ? Math.min(least, predicted[3]) : least), 2);
    const errorCount = (passage) => passage[4].filter(([kind]) => kind !== CORRECT).length;
    const orders = {
      errors: (a, b) => errorCount(b) - errorCount(a),
      confident: (a, b) => bestError(b) - bestError(a),
      uncertain: (a, b) => lowestScore(a) - lowestScore(b),
    };

    const select = () => {
      const filter = readFilter();
      const wantsEmpty = filter.kinds.has(-1) && filter.label < 0 && !filter.scores && !pair;
      let spans = 0;
      selected = run.passages.filter((passage) => {
        const [, , place, status, marks] = passage;
        if (filter.status && status !== filter.status) return false;
        if (filter.search && !strings[place].toLowerCase().includes(filter.search)) return false;
        if (!marks.length) return wantsEmpty;
        const count = marks.filter((mark) => matches(run, filter, mark)).length;
        spans += count;
        return count > 0;
      });
      const order = orders[fields.order.value];
      if (order) selected.sort(order);
      list.replaceChildren();
      shown = 0;
      const total = run.passages.length.toLocaleString("en");
      found.textContent = selected.length
        ? `${selected.length.toLocaleString("en")} of ${total} passages, with ${spans.toLocaleString("en")} matching spans`
        : `None of ${total} passages matches. Choose more kinds, or reset the filters.`;
      showMore();
    };
    const showMore = (count = BATCH) => {
      const added = selected.slice(shown, shown + count).map((passage) => {
        const example = make("div", "example");
        const where = make("div", "where");
        const [number, offset, , status] = passage;
        where.append(make("span", "", `document ${number.toLocaleString("en")}${offset ? `, character ${offset.toLocaleString("en")}` : ""}`));
        if (status !== "ok") where.append(make("span", "status", status));
        example.append(where, draw(run, passage));
        list.append(example);
        return example;
      });
      added.forEach((example) => example.querySelectorAll(".drawn").forEach(settle));
      shown += added.length;
      more.hidden = shown >= selected.length;
      more.textContent = `Show more (${(selected.length - shown).toLocaleString("en")} left)`;
    };
    more.addEventListener("click", () => showMore());
    // Further examples are drawn before the reader reaches the end of the list.
    new IntersectionObserver(
      (entries) => {
        if (entries.some((entry) => entry.isIntersecting) && !more.hidden && shown) showMore();
      },
      { rootMargin: "600px" },
    ).observe(more);

    let waiting;
    form.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(select, 120);
    });
    form.addEventListener("submit", (event) => event.preventDefault());
    const setPair = (next, text) => {
      pair = next;
      chosen.hidden = !pair;
      chosen.firstElementChild.textContent = text ?? "";
    };
    form.addEventListener("reset", () => {
      setPair(null);
      setTimeout(select);
    });
    chosen.firstElementChild.addEventListener("click", () => {
      setPair(null);
      form.reset();
    });
    for (const button of article.querySelectorAll("button.pair")) {
      button.addEventListener("click", () => {
        const column = Number(button.dataset.column);
        const matrix = button.closest("table").tHead.rows[0].cells.length - 4;
        const gold = run.labels.indexOf(button.dataset.gold);
        const predicted = run.labels.indexOf(button.dataset.predicted);
        form.reset();
        if (button.dataset.spurious) setPair({ kind: "invented", predicted }, `spurious ${button.dataset.predicted}`);
        else if (column === matrix) setPair({ kind: "boundary", gold }, `boundary errors of ${button.dataset.gold}`);
        else if (column > matrix) setPair({ kind: "missed", gold }, `missed ${button.dataset.gold}`);
        else if (gold === predicted) setPair({ kind: "correct", gold }, `correct ${button.dataset.gold}`);
        else setPair({ gold, predicted }, `${button.dataset.gold} → ${button.dataset.predicted}`);
        boxes.forEach((box) => {
          box.checked = true;
        });
        select();
        section.scrollIntoView();
        section.querySelector("h3").tabIndex = -1;
        section.querySelector("h3").focus({ preventScroll: true });
      });
    }

    const asObject = (passage) => {
      const [document, offset, place, status, marks] = passage;
      const span = (found) =>
        found ? { start: found[0] + offset, end: found[1] + offset, label: run.labels[found[2]], ...(found.length > 3 && run.scored ? { score: found[3] } : {}) } : null;
      return {
        document,
        offset,
        text: strings[place],
        status,
        spans: marks.map(([kind, gold, predicted]) => ({ kind: names[kind], gold: span(gold), predicted: span(predicted) })),
      };
    };
    for (const button of section.querySelectorAll("button.export")) {
      button.addEventListener("click", () => {
        const objects = selected.map(asObject);
        if (button.dataset.format === "json") {
          saveJSON(`${run.name}-examples.json`, objects);
          return;
        }
        const rows = [["document", "kind", "gold_start", "gold_end", "gold_label", "gold_text", "predicted_start", "predicted_end", "predicted_label", "predicted_text", "score", "text"]];
        for (const each of objects) {
          const characters = Array.from(each.text);
          const cells = (span) =>
            span ? [span.start, span.end, span.label, characters.slice(span.start - each.offset, span.end - each.offset).join("")] : ["", "", "", ""];
          for (const { kind, gold, predicted } of each.spans) {
            rows.push([each.document, kind, ...cells(gold), ...cells(predicted), predicted?.score ?? "", each.text]);
          }
        }
        saveCSV(`${run.name}-examples.csv`, rows);
      });
    }
    const view = {
      start: () => {
        if (!shown && !selected.length) select();
        view.settle();
      },
      settle: () => section.querySelectorAll(".drawn").forEach(settle),
      print: () => {
        while (shown < Math.min(PRINTED, selected.length)) showMore(PRINTED);
        if (shown < selected.length) found.textContent += `; the first ${shown} are printed`;
      },
      all: () => run.passages.map(asObject),
    };
    return view;
  });

  document.getElementById("everything").addEventListener("click", () => {
    saveJSON("report.json", {
      evaluations: runs.map((run, index) => ({ name: run.name, scores: run.result, examples: views[index]?.all() ?? [] })),
      comparisons: data.comparisons,
      training: data.training,
    });
  });

  // Tabs

  const tabs = [...document.querySelectorAll('[role="tab"]')];
  const articles = [...document.querySelectorAll("article.run")];
  let current = 0;
  const show = (index) => {
    current = index;
    articles.forEach((article, number) => {
      article.hidden = number !== index;
    });
    tabs.forEach((tab, number) => {
      tab.setAttribute("aria-selected", String(number === index));
      tab.tabIndex = number === index ? 0 : -1;
    });
    views[index]?.start();
  };
  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => show(index));
    tab.addEventListener("keydown", (event) => {
      const last = tabs.length - 1;
      const target = { ArrowRight: index === last ? 0 : index + 1, ArrowLeft: index ? index - 1 : last, Home: 0, End: last }[event.key];
      if (target === undefined) return;
      event.preventDefault();
      show(target);
      tabs[target].focus();
    });
  });
  if (tabs.length) tabs[0].parentElement.hidden = false;
  let resizing;
  addEventListener("resize", () => {
    clearTimeout(resizing);
    resizing = setTimeout(() => views[current]?.settle(), 150);
  });
  addEventListener("beforeprint", () => views[current]?.print());
  show(0);
})();
