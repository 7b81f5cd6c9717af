"use strict";
// Search of samples, order of tables, attention of one token. The page says all that matters without it.
(() => {
  const byId = (id) => document.getElementById(id);
  const element = (name, className, ...children) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...children);
    return made;
  };
  // The same characters as the page itself writes out.
  const STEERING = /[@STEERING@]/gu;
  const visible = (text) => text.replace(STEERING, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
  // `m_A` and `D_C` with their letters below the line, as in the paper.
  const symbols = (text) => {
    const nodes = [];
    let from = 0;
    for (const found of text.matchAll(/(?<![\p{L}\p{N}_])([mD])_([A-Z][A-Z0-9]*(?:[⊕,][A-Z][A-Z0-9]*)*)(?![\p{L}\p{N}_])/gu)) {
      nodes.push(visible(text.slice(from, found.index)), found[1], element("sub", "", found[2]));
      from = found.index + found[0].length;
    }
    nodes.push(visible(text.slice(from)));
    return element("bdi", "", ...nodes);
  };

  // Folded parts are printed.
  addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details:not([open])")) {
      part.open = true;
      part.dataset.folded = "";
    }
  });
  addEventListener("afterprint", () => {
    for (const part of document.querySelectorAll("details[data-folded]")) {
      part.open = false;
      delete part.dataset.folded;
    }
  });

  // A click on a heading sorts the rows below it.
  const value = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent.trim();
    const number = Number(text);
    return text !== "" && Number.isFinite(number) ? number : text;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      const button = element("button", "");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const up = heading.getAttribute("aria-sort") !== "ascending";
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", up ? "ascending" : "descending");
        const body = table.tBodies[0];
        const rows = [...body.rows].map((row) => [value(row, column), row]);
        rows.sort(([one], [other]) => {
          const order =
            typeof one === "number" && typeof other === "number"
              ? one - other
              : String(one).localeCompare(String(other), "en", { numeric: true });
          return up ? order : -order;
        });
        body.append(...rows.map(([, row]) => row));
      });
    });
  }

  // Attention of one token of the anchor, while it is pointed at or chosen.
  for (const reading of document.querySelectorAll(".reading[data-weights]")) {
    const rows = reading.dataset.weights.split(" ");
    const asks = [...reading.querySelectorAll(".tokens.asks i")];
    const read = [...reading.querySelectorAll(".tokens.read i")];
    const shown = read.map((token) => token.className);
    const said = reading.querySelector(".of");
    const mean = said.textContent;
    let chosen = -1;
    const show = (row) => {
      asks.forEach((token, at) => token.classList.toggle("on", at === row));
      const weights = rows[row];
      said.textContent = row < 0 || !weights ? mean : `read from token ${row + 1}`;
      read.forEach((token, at) => {
        token.className = row < 0 || !weights ? shown[at] : `w${parseInt(weights[at] ?? "0", 36)}`;
      });
    };
    asks.forEach((token, row) => {
      token.tabIndex = 0;
      token.addEventListener("pointerenter", () => show(row));
      token.addEventListener("pointerleave", () => show(chosen));
      token.addEventListener("focus", () => show(row));
      token.addEventListener("blur", () => show(chosen));
      token.addEventListener("click", () => {
        chosen = chosen === row ? -1 : row;
        show(chosen);
      });
    });
  }

  // Samples.
  const source = byId("calm-table");
  if (!source || !byId("samples") || !globalThis.DecompressionStream) return;
  const unpacked = async () => {
    const text = source.textContent;
    let bytes;
    if (Uint8Array.fromBase64) {
      bytes = Uint8Array.fromBase64(text);
    } else {
      const letters = atob(text);
      bytes = new Uint8Array(letters.length);
      for (let at = 0; at < letters.length; at += 1) bytes[at] = letters.charCodeAt(at);
    }
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  };

  const PAGE = 20;
  const LETTERS = 2000;
  const OF_PROMPT = 800;
  const browse = (table) => {
    const { frame, samples } = table;
    const placeOf = (id) => frame.systems.findIndex((system) => system.id === id);
    const main = placeOf(frame.main);
    const reference = placeOf(frame.reference);
    const tasks = new Map(frame.tasks.map((task) => [task.id, task]));
    const scoreOf = (sample, system) => sample.outputs[system]?.score ?? NaN;
    const gain = (sample) => scoreOf(sample, main) - scoreOf(sample, reference);
    const texts = samples.map((sample) =>
      [sample.prompt, sample.reference, ...sample.outputs.map((output) => output?.text ?? "")]
        .join("\n")
        .toLowerCase(),
    );
    const kinds = {
      all: () => true,
      better: (sample) => gain(sample) > 0,
      worse: (sample) => gain(sample) < 0,
      same: (sample) => gain(sample) === 0,
      right: (sample) => scoreOf(sample, main) >= 100,
      wrong: (sample) => scoreOf(sample, main) < 100,
    };
    const last = (number) => (Number.isNaN(number) ? Infinity : number);
    const orders = {
      given: null,
      gained: (one, other) => last(-gain(one)) - last(-gain(other)) || 0,
      lost: (one, other) => last(gain(one)) - last(gain(other)) || 0,
      lowest: (one, other) => last(scoreOf(one, main)) - last(scoreOf(other, main)) || 0,
    };

    // The beginning of a text, or the end of a prompt, where the question is.
    const text = (whole, isPrompt) => {
      const made = element("bdi", "text");
      made.dir = "auto";
      const most = isPrompt ? OF_PROMPT : LETTERS;
      const cut = whole.length > most;
      const part = isPrompt ? whole.slice(-most) : whole.slice(0, most);
      // No half of a letter.
      made.textContent = visible(cut ? part.replace(/^[\uDC00-\uDFFF]|[\uD800-\uDBFF]$/g, "") : whole);
      if (!cut) return [made];
      const more = element("button", "more", `show all ${whole.length.toLocaleString("en")} characters`);
      more.type = "button";
      more.addEventListener("click", () => {
        made.textContent = visible(whole);
        more.remove();
      });
      return isPrompt ? [more, made] : [made, more];
    };
    const entry = (className, title, whole, mark) => {
      const heading = element("dt", "", title);
      if (mark) heading.append(mark);
      return element("div", className, heading, element("dd", "", ...text(whole, className === "prompt")));
    };
    const verdict = (task, score) => {
      if (task && ["exact_match", "pass@1"].includes(task.metric)) {
        return score >= 100
          ? element("span", "right", "✓ right")
          : element("span", "wrong", "✗ wrong");
      }
      return element("span", "", score.toFixed(1));
    };
    const card = (sample) => {
      const task = tasks.get(sample.task);
      const heading = element("header", "", element("span", "", symbols(task?.title ?? sample.task)));
      if (sample.language) heading.append(element("bdi", "", visible(sample.language)));
      heading.append(element("span", "", `example ${sample.index}`));
      const list = element("dl", "");
      list.append(entry("prompt", "prompt", sample.prompt), entry("", "target", sample.reference));
      sample.outputs.forEach((output, system) => {
        const described = frame.systems[system];
        if (!output || !described) return;
        const own = system === main ? "own" : "";
        list.append(entry(own, symbols(described.title), output.text, verdict(task, output.score)));
      });
      return element("article", "", heading, list);
    };

    const cards = byId("cards");
    const more = element("button", "more", "show more");
    more.type = "button";
    cards.after(more);
    let found = [];
    let shown = 0;
    const extend = () => {
      const next = found.slice(shown, shown + PAGE);
      cards.append(...next.map(card));
      shown += next.length;
      more.hidden = shown >= found.length;
      byId("found").textContent =
        `${found.length.toLocaleString("en")} of ${samples.length.toLocaleString("en")} samples; ${shown.toLocaleString("en")} shown`;
    };
    const search = () => {
      const words = byId("words").value.toLowerCase();
      const task = byId("task").value;
      const language = byId("language")?.value ?? "";
      const kind = kinds[byId("kind")?.value ?? "all"];
      const order = orders[byId("order")?.value ?? "given"];
      found = samples.filter(
        (sample, at) =>
          (task === "" || visible(sample.task) === task) &&
          (language === "" || visible(sample.language) === language) &&
          kind(sample) &&
          (words === "" || texts[at].includes(words)),
      );
      if (order) found.sort(order);
      shown = 0;
      cards.replaceChildren();
      extend();
    };
    more.addEventListener("click", extend);
    let wait = 0;
    const soon = () => {
      clearTimeout(wait);
      wait = setTimeout(search, 120);
    };
    byId("words").addEventListener("input", soon);
    for (const id of ["task", "language", "kind", "order"]) byId(id)?.addEventListener("change", search);
    byId("controls").hidden = false;
    byId("chosen").hidden = true;
    search();
  };

  const save = (text, name) => {
    const link = element("a", "");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  const button = byId("save");
  button.hidden = false;
  button.addEventListener("click", async () => save(await unpacked(), "table.json"));

  const idle = globalThis.requestIdleCallback ?? ((work) => setTimeout(work, 50));
  addEventListener("load", () =>
    idle(async () => {
      if (byId("cards")) browse(JSON.parse(await unpacked()));
      document.documentElement.dataset.ready = "";
    }),
  );
})();
