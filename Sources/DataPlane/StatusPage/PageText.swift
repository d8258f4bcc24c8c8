/// The page as it is sent. Made of page.html by hack/generate: edit that file.
enum PageText {
    /// Of the page's style and script, for its Content-Security-Policy.
    static let styleDigest = "sha256-vjDrFdBOIYutYZK3cOUoSmH2VamHJ7/r2ZOU2dztJJk="
    static let scriptDigest = "sha256-SFlW9TdUFfl+rvTFXkL7qUQacVmlbAumMykdOsyU4hA="

    static let html = #"""
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>ModelCache</title>
<style>
:root {
  color-scheme: light dark;
  --back: #f6f7f9; --card: #fff; --text: #1b2430; --soft: #56616f; --line: #dde2e8; --track: #e6eaef;
  --accent: #2463c5; --good: #1f7a3f; --busy: #2463c5; --bad: #b3261e; --idle: #56616f; --warn: #fff3d6; --warn-line: #c98a00;
  --p0: #7a8799; --p1: #8a63d2; --p2: #c2679b; --p3: #d98a1f; --p4: #2f9e8f; --p5: #2463c5; --p6: #57a639; --p7: #b0563a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #12161c; --card: #1b2129; --text: #e4e9ef; --soft: #a3adba; --line: #313945; --track: #2b333e;
    --accent: #7fb0ff; --good: #6ccb8b; --busy: #7fb0ff; --bad: #ff8a80; --idle: #a3adba; --warn: #3a2f14; --warn-line: #d9a53a;
    --p0: #93a0b2; --p1: #ab8cf0; --p2: #e08bbb; --p3: #efae57; --p4: #56c6b7; --p5: #7fb0ff; --p6: #86cf6a; --p7: #df8f74;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text);
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
header, main, footer { width: min(96%, 88rem); margin: 0 auto; }
header { display: flex; flex-wrap: wrap; gap: .25rem 1rem; align-items: baseline; padding: 1.1rem 0 .6rem; }
h1 { font-size: 1.35rem; margin: 0; }
h2 { font-size: 1.05rem; margin: 0 0 .6rem; }
#subject { color: var(--soft); overflow-wrap: anywhere; }
#live { margin-left: auto; color: var(--soft); font-variant-numeric: tabular-nums; }
#live::before { content: ""; display: inline-block; width: .6em; height: .6em; border-radius: 50%;
  margin-right: .45em; background: var(--good); }
#live.away::before { background: var(--bad); border-radius: 0; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .9rem 1rem; margin: 0 0 1rem; }
.notice { background: var(--warn); border-left: .3rem solid var(--warn-line); padding: .45rem .7rem; margin: 0 0 .7rem;
  border-radius: .25rem; overflow-wrap: anywhere; }
.none { color: var(--soft); margin: 0; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; color: var(--soft); padding-bottom: .4rem; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: .85em; padding: .25rem .7rem .35rem 0;
  white-space: nowrap; }
td { padding: .4rem .7rem .4rem 0; border-top: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
th.number, td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td:last-child, th:last-child { padding-right: 0; }
tr.why td { border-top: 0; padding-top: 0; color: var(--bad); }
.name { font-weight: 600; }
.soft { color: var(--soft); font-size: .87em; }
.good { color: var(--good); } .busy { color: var(--busy); } .bad { color: var(--bad); } .idle { color: var(--idle); }
.bar { height: .55rem; min-width: 7rem; background: var(--track); border-radius: .3rem; overflow: hidden; margin: .35rem 0 .2rem;
  display: flex; }
.bar > span { height: 100%; background: var(--busy); flex: none; }
.bar > span.good { background: var(--good); }
.bar > span.bad { background: var(--bad); }
.bar > span.idle { background: var(--idle); }
ul.plain { list-style: none; margin: 0; padding: 0; }
.flows { display: grid; grid-template-columns: minmax(18rem, 30rem) 1fr; gap: 1rem 1.6rem; align-items: start; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--text); font-size: 13px; }
svg text.soft { fill: var(--soft); font-size: 12px; }
svg text.moves { fill: var(--accent); font-size: 12px; }
svg .node { fill: var(--card); stroke: var(--soft); stroke-width: 1.5; }
svg .store { fill: var(--track); stroke: var(--soft); stroke-width: 1.5; }
svg .flow { fill: none; stroke: var(--soft); stroke-opacity: .45; stroke-dasharray: 3 4; }
svg .flow.moves { stroke: var(--accent); stroke-opacity: 1; stroke-dasharray: none; }
svg .head { fill: var(--soft); } svg .head.moves { fill: var(--accent); }
.start { border-top: 1px solid var(--line); padding: .6rem 0; }
.start:first-child { border-top: 0; padding-top: 0; }
.start .line { display: flex; flex-wrap: wrap; gap: .1rem .9rem; align-items: baseline; }
.start .total { margin-left: auto; font-weight: 600; font-variant-numeric: tabular-nums; }
.phases { display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin: .2rem 0 0; padding: 0; list-style: none; font-size: .9em; }
.phases i { display: inline-block; width: .75em; height: .75em; border-radius: .15em; margin-right: .4em; }
.start .bar { height: .9rem; background: none; border-radius: 0; }
.start .bar > span { border-right: 1px solid var(--card); min-width: 2px; }
.c0 { background: var(--p0) !important; } .c1 { background: var(--p1) !important; } .c2 { background: var(--p2) !important; }
.c3 { background: var(--p3) !important; } .c4 { background: var(--p4) !important; } .c5 { background: var(--p5) !important; }
.c6 { background: var(--p6) !important; } .c7 { background: var(--p7) !important; }
footer { color: var(--soft); font-size: .87em; padding: 0 0 1.5rem; }
@media (max-width: 60rem) { .flows { grid-template-columns: 1fr; } svg { max-width: 32rem; margin: 0 auto; } }
@media (max-width: 44rem) {
  svg text { font-size: 15px; } svg text.moves, svg text.soft { font-size: 14px; }
  table, tbody, tr, td, caption { display: block; width: 100%; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tr { border-top: 1px solid var(--line); padding: .45rem 0; } tr.why { border-top: 0; padding-top: 0; }
  td, td.number { border: 0; padding: .1rem 0; text-align: left; white-space: normal; display: flex; gap: .6rem; }
  td::before { content: attr(data-label); color: var(--soft); font-size: .87em; flex: 0 0 6.5rem; }
  tr.why td::before { content: none; } td > div { flex: 1; min-width: 0; }
}
</style>
</head>
<body>
<header>
  <h1>ModelCache</h1>
  <span id="subject"></span>
  <span id="live" role="status">waiting for the first look</span>
</header>
<main>
  <section aria-labelledby="h-models"><h2 id="h-models">Models</h2><div id="models"></div></section>
  <section aria-labelledby="h-nodes"><h2 id="h-nodes">Nodes</h2><div id="nodes"></div></section>
  <section aria-labelledby="h-flows"><h2 id="h-flows">Who gives what to whom</h2><div id="flows"></div></section>
  <section aria-labelledby="h-starts"><h2 id="h-starts">Starts of pods, the newest first</h2><div id="starts"></div></section>
</main>
<footer id="foot">Read-only. Bytes are counted since the agents started.</footer>
<noscript><p class="notice">This page needs JavaScript.</p></noscript>
<script>
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";

  // Every text from outside comes in here, as text.
  function make(tag, attributes = {}, ...children) {
    const isSVG = ["svg", "g", "path", "circle", "rect", "text", "title", "polygon"].includes(tag);
    const node = isSVG ? document.createElementNS(SVG, tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== undefined && value !== null && value !== "") node.setAttribute(name, String(value));
    }
    for (const child of children.flat()) {
      if (child === undefined || child === null || child === "") continue;
      node.append(child instanceof Node ? child : document.createTextNode(String(child)));
    }
    return node;
  }

  const pad = (number) => String(number).padStart(2, "0");
  function clock(seconds) {
    const date = new Date(seconds * 1000);
    return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  }

  const percentOf = (part, whole) => whole > 0 ? Math.max(0, Math.min(100, part / whole * 100)) : 0;

  // Parts are [percent, class].
  function bar(parts, label) {
    const node = make("div", { class: "bar", role: "img", "aria-label": label });
    for (const [percent, tone] of parts) {
      const part = make("span", { class: tone });
      part.style.width = `${percent}%`;
      node.append(part);
    }
    return node;
  }

  // Columns are [heading, class]. The roles stay when a phone shows rows as blocks.
  function table(caption, columns, rows) {
    const head = make("tr", { role: "row" }, columns.map(([text, kind]) =>
      make("th", { scope: "col", role: "columnheader", class: kind }, text)));
    return make("table", { role: "table" }, make("caption", {}, caption),
      make("thead", { role: "rowgroup" }, head), make("tbody", { role: "rowgroup" }, rows));
  }

  function row(columns, cells) {
    return make("tr", { role: "row" }, columns.map(([text, kind], index) =>
      make("td", { role: "cell", class: kind, "data-label": text }, make("div", {}, cells[index]))));
  }

  const toned = (text, tone) => make("span", { class: tone }, text);
  const dash = (amount) => amount ? amount.text : "–";
  const count = (number, one, many) => `${number} ${number === 1 ? one : many}`;

  function modelRows(models, isCluster) {
    const columns = [["Model"], ["Phase"], ["Progress"], ["Rate", "number"], ["Left", "number"],
      [isCluster ? "Nodes ready" : "Readers", "number"], ["From the store", "number"], ["From nodes", "number"],
      ["Copied", "number"]];
    const rows = models.flatMap((model) => {
      const share = model.percent ?? 0;
      const figures = model.size ? `${share} %, ${dash(model.present)} of ${model.size.text}` : "size not known yet";
      const line = row(columns, [
        [make("div", { class: "name" }, model.name), make("div", { class: "soft" }, model.source)],
        [toned(model.phase, model.tone), model.pinned ? make("div", { class: "soft" }, "pinned") : null],
        [bar([[share, model.tone]], figures), make("span", { class: "soft" }, figures)],
        dash(model.rate), dash(model.remaining), isCluster ? model.nodes ?? "–" : model.readers ?? "–",
        dash(model.fromStore), dash(model.fromNodes), dash(model.copied)]);
      const why = model.why.map((text) => make("div", {}, text));
      const more = make("tr", { role: "row", class: "why" },
        make("td", { role: "cell", colspan: columns.length }, make("div", {}, why)));
      return why.length ? [line, more] : [line];
    });
    return table(count(models.length, "model", "models"), columns, rows);
  }

  function medium(one) {
    if (!one) return "–";
    const text = `${one.used.text} used, ${dash(one.free)} free of ${one.budget.text}`;
    return [bar([[percentOf(one.used.value, one.budget.value), "busy"]], text), make("span", { class: "soft" }, text)];
  }

  function copyLine(copy) {
    const parts = [copy.state === "Filling" ? `${copy.percent} %` : copy.state, copy.pinned ? "pinned" : "",
      copy.readers ? count(copy.readers, "reader", "readers") : ""].filter((part) => part);
    return make("li", {}, copy.model, " ", toned(parts.join(", "), `soft ${copy.tone}`));
  }

  function nodeRows(nodes) {
    const media = [...new Set(nodes.flatMap((node) => node.media.map((one) => one.name)))];
    const columns = [["Node"], ["Agent"], ...media.map((name) => [name]), ["Models"]];
    const rows = nodes.map((node) => row(columns, [
      make("span", { class: "name" }, node.name),
      [toned(node.agent, node.tone), node.message ? make("div", { class: "soft" }, node.message) : null],
      ...media.map((name) => medium(node.media.find((one) => one.name === name))),
      node.models.length ? make("ul", { class: "plain" }, node.models.map(copyLine)) : "none"]));
    return table(count(nodes.length, "node", "nodes"), columns, rows);
  }

  const key = (place) => `${place.kind}/${place.name}`;
  const short = (text, most) => text.length > most ? `${text.slice(0, most - 1)}…` : text;
  const most = 16;

  // Those who give on the left, those who take on the right; of many the ones that move the most.
  function side(flows, end) {
    const known = new Map();
    for (const flow of flows) {
      const place = flow[end];
      const one = known.get(key(place)) ?? { place, weight: place.kind === "store" ? Infinity : 0, rates: [] };
      one.weight += (flow.rate?.value ?? 0) * 1e6 + flow.bytes.value;
      if (flow.rate) one.rates.push(flow.rate);
      known.set(key(place), one);
    }
    return [...known.values()].sort((a, b) => b.weight - a.weight || a.place.name.localeCompare(b.place.name));
  }

  function picture(flows) {
    const gives = side(flows, "from"), takes = side(flows, "to");
    const rows = Math.min(most, Math.max(gives.length, takes.length));
    const width = 440, step = 44, height = rows * step + 30, left = 128, right = 290;
    const marks = [], at = { from: new Map(), to: new Map() };
    const lay = (places, end, x, anchor) => {
      const shown = places.slice(0, most), top = (rows - shown.length) * step / 2 + step / 2;
      shown.forEach(({ place, rates }, index) => {
        const y = top + index * step, aside = anchor === "end" ? x - 14 : x + 14;
        at[end].set(key(place), { x, y });
        const name = place.kind === "store" ? "the store" : place.name;
        marks.push(
          make(place.kind === "store" ? "rect" : "circle", place.kind === "store"
            ? { class: "store", x: x - 7, y: y - 7, width: 14, height: 14, rx: 3 } : { class: "node", cx: x, cy: y, r: 7 }),
          make("text", { x: aside, y: y + 4, "text-anchor": anchor }, make("title", {}, name), short(name, 16)));
        if (end !== "to" || !rates.length) return;
        const fastest = [...rates].sort((a, b) => b.value - a.value).map((rate) => rate.text);
        const text = fastest.slice(0, 2).join(" + ") + (fastest.length > 2 ? " + …" : "");
        marks.push(make("text", { class: "moves", x: aside, y: y + 18, "text-anchor": anchor }, text));
      });
      if (places.length > most) {
        const text = `and ${places.length - most} more`;
        marks.push(make("text", { class: "soft", x, y: height - 8, "text-anchor": anchor }, text));
      }
    };
    lay(gives, "from", left, "end");
    lay(takes, "to", right, "start");
    const pairs = new Map();
    for (const flow of flows) {
      const from = at.from.get(key(flow.from)), to = at.to.get(key(flow.to)), name = `${key(flow.from)} ${key(flow.to)}`;
      if (!from || !to) continue;
      const known = pairs.get(name) ?? { from, to, rate: 0, texts: [] };
      known.rate += flow.rate?.value ?? 0;
      known.texts.push(`${flow.model}: ${flow.bytes.text}${flow.rate ? `, ${flow.rate.text}` : ""}`);
      pairs.set(name, known);
    }
    const drawn = [...pairs.values()].sort((a, b) => a.rate - b.rate);
    const fastest = Math.max(1, ...drawn.map((pair) => pair.rate));
    const moving = drawn.filter((pair) => pair.rate > 0).length;
    const label = `${count(gives.length, "place gives", "places give")} to ${count(takes.length, "place", "places")}, `
      + `${moving} of ${count(drawn.length, "arrow moves", "arrows move")} bytes now; the table has the numbers`;
    return make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
      drawn.map((pair) => arrow(pair, fastest)), marks);
  }

  function arrow(pair, fastest) {
    const moves = pair.rate > 0 ? " moves" : "";
    const wide = pair.rate > 0 ? 1.5 + 4.5 * Math.sqrt(pair.rate / fastest) : 1.2;
    const begin = pair.from.x + 9, end = pair.to.x - 18, middle = (begin + end) / 2, { y } = pair.to, size = 4 + wide / 2;
    const line = make("path", { class: `flow${moves}`, "stroke-width": wide.toFixed(1),
      d: `M${begin},${pair.from.y} C${middle},${pair.from.y} ${middle},${y} ${end},${y}` });
    const head = make("polygon", { class: `head${moves}`, points: `${end + 9},${y} ${end - 1},${y - size} ${end - 1},${y + size}` });
    return make("g", {}, make("title", {}, pair.texts.join("\n")), line, head);
  }

  function flowRows(flows) {
    const columns = [["From"], ["To"], ["Model"], ["Bytes", "number"], ["Rate", "number"]];
    const sorted = [...flows].sort((a, b) => (b.rate?.value ?? 0) - (a.rate?.value ?? 0) || b.bytes.value - a.bytes.value);
    const shown = sorted.slice(0, 200);
    const rows = shown.map((flow) => row(columns, [
      flow.from.kind === "store" ? "the store" : flow.from.name, flow.to.name, flow.model, flow.bytes.text,
      flow.rate ? toned(flow.rate.text, "busy") : "–"]));
    const moving = flows.filter((flow) => flow.rate).length;
    const rest = flows.length - shown.length;
    const caption = `${count(flows.length, "flow", "flows")}, ${moving} of them now`;
    return table(rest ? `${caption}; ${rest} slower ones are left out` : caption, columns, rows);
  }

  // A phase has its colour by its place in the first start that names it.
  const colours = new Map();
  function colour(name) {
    if (!colours.has(name)) colours.set(name, `c${colours.size % 8}`);
    return colours.get(name);
  }

  function startLines(starts) {
    const longest = Math.max(1, ...starts.map((start) => start.total.value));
    return starts.map((start) => {
      const phases = start.phases.map((phase) =>
        make("li", {}, make("i", { class: colour(phase.name) }), `${phase.name} ${phase.time.text}${phase.goesOn ? "…" : ""}`));
      const label = start.phases.map((phase) => `${phase.name} ${phase.time.text}`).join(", ");
      const parts = start.phases.filter((phase) => phase.time.value > 0)
        .map((phase) => [percentOf(phase.time.value, longest), colour(phase.name)]);
      const soft = (text) => text ? make("span", { class: "soft" }, text) : null;
      return make("div", { class: "start" },
        make("div", { class: "line" }, make("span", { class: "name" }, start.pod), soft(start.model),
          soft(start.node ? `on ${start.node}` : ""), soft(start.restarts ? count(start.restarts, "restart", "restarts") : ""),
          make("span", { class: "total" }, start.total.text + (start.goesOn ? "…" : ""))),
        bar(parts, label), make("ul", { class: "phases" }, phases),
        start.notes.map((text) => make("div", { class: "soft" }, text)));
    });
  }

  const bodies = {
    models: (items, data) => [modelRows(items, data.kind === "cluster")],
    nodes: (items) => [nodeRows(items)],
    flows: (items) => [make("div", { class: "flows" }, picture(items), make("div", {}, flowRows(items)))],
    starts: (items) => startLines(items),
  };
  const empty = {
    models: "No model is cached.", nodes: "No agent runs on any node.",
    flows: "Nothing has come from the store or from other nodes since the agents started.",
    starts: "No pod has started with a model.",
  };

  function notices(view) {
    const texts = [...view.notes];
    if (view.missing) {
      const last = view.seen ? ` This is the state of ${clock(view.seen)}.` : "";
      texts.unshift(`Not readable since ${clock(view.missing.since)}: ${view.missing.why}.${last}`);
    }
    return texts.map((text) => make("p", { class: "notice" }, text));
  }

  // A section is made anew only when it says something else: selections and the place of a reader stay.
  const drawn = {};
  function draw(data) {
    for (const [name, body] of Object.entries(bodies)) {
      const view = data[name];
      const text = JSON.stringify([view.items, view.notes, view.missing, view.missing && view.seen]);
      if (drawn[name] === text) continue;
      drawn[name] = text;
      const content = view.items.length ? body(view.items, data)
        : view.seen ? [make("p", { class: "none" }, empty[name])] : [];
      byId(name).replaceChildren(...notices(view), ...content);
    }
    byId("subject").textContent = data.subject;
    document.title = `ModelCache: ${data.subject}`;
    byId("foot").textContent = `Read-only. Bytes are counted since the agents started. ModelCache ${data.release}.`;
  }

  // A status is spoken when its text changes, so the time of each look is not in it.
  function say(text, isAway) {
    const live = byId("live");
    if (live.textContent !== text) live.textContent = text;
    live.classList.toggle("away", isAway);
  }

  let awaySince = 0;
  async function look() {
    let pause = 1000;
    try {
      const answer = await fetch("data.json", { cache: "no-store", signal: AbortSignal.timeout(8000) });
      if (!answer.ok) throw new Error((await answer.text()).slice(0, 200));
      const data = await answer.json();
      draw(data);
      awaySince = 0;
      pause = data.pauseMilliseconds;
      const views = Object.keys(bodies).map((name) => data[name]);
      const away = views.filter((view) => view.missing).length;
      say(away === 0 ? "live" : away === views.length ? "nothing can be read" : "some views are missing", away > 0);
    } catch (error) {
      awaySince ||= Date.now() / 1000;
      say(`no data since ${clock(awaySince)}: does the command that printed this address still run?`, true);
    }
    // A page that nobody sees asks nothing.
    if (document.hidden) {
      document.addEventListener("visibilitychange", look, { once: true });
    } else {
      setTimeout(look, pause);
    }
  }
  look();
})();
</script>
</body>
</html>
"""#
}
