// The page: shows solves, sends questions to the server, and handles what the user does.

const LIVE = document.documentElement.dataset.mode === "live";
const REFERENCE = "beam";
const EXAMPLES = [
  "Peter has 262 flowers. He gives half of the flowers to Lucy. On Monday Peter finds 294 flowers. Then 95 of the flowers break. He puts 32 flowers into each of 2 gifts and gives them away. The bag of Peter costs 22 dollars. How many flowers does Peter have now?",
  "Carl has 120 nuts. Then 38 of the nuts break. He gives 77 nuts to Ruth. He loses 2 of them. Then the number of nuts triples. He shares the nuts equally among 3 people and keeps one share. Ruth gives him 149 nuts. He buys 8 packs with 27 nuts in each pack. How many nuts does Carl have in the end?",
  "Maya has 12 shells. She buys 3 bags with 5 shells each. How many shells does Maya have now?",
];

const solves = []; // all solves of this page, oldest first
let panels = [];
let offered = new Map(); // the server's methods by name
let listing = null; // the request for them, while it runs
let running = null; // AbortController of the solve that is running
let example = 0;

// Showing

/** The solves that are shown: one or two. */
function shown() {
  const [first, second] = [solves[$("first").value], solves[$("second").value]];
  return first && second && first !== second ? [first, second] : [first].filter(Boolean);
}

/** List all solves, and show one or two of them. */
function show(first, second = null) {
  const choices = () => solves.map((solve, idx) => h("option", { value: idx }));
  $("first").replaceChildren(...choices());
  $("second").replaceChildren(h("option", { value: "" }, "nothing"), ...choices());
  $("first").value = solves.indexOf(first);
  $("second").value = second ? solves.indexOf(second) : "";
  arrange();
}

/** A solve's entry in the lists. */
function name(solve, idx) {
  const parts = [`${idx + 1} ${solve.method}`, solve.answer, solve.latency_s === null ? null : time(solve.latency_s)];
  return [...parts.filter(Boolean), short(solve.question)].join(" · ");
}

/** Make panels for the solves that the lists choose. */
function arrange() {
  const now = shown();
  for (const panel of panels) panel.close();
  panels = now.map((solve) => new Panel(solve, domain));
  $("panels").replaceChildren(...panels.map((panel) => panel.element));
  $("panels").classList.toggle("two", now.length === 2);
  $("shown").hidden = !now.length;
  $("choose").hidden = solves.length < 2;
  refresh();
}

/** Update lists, verdict and panels after a solve has changed. */
function refresh() {
  const now = shown();
  for (const option of $("choose").querySelectorAll("option[value]:not([value=''])"))
    option.textContent = name(solves[option.value], Number(option.value));
  const questions = [...new Set(now.map((solve) => solve.question))];
  $("asked").replaceChildren(...questions.map((question) => h("span", {}, question)));
  $("verdict").replaceChildren(...verdict(now));
  for (const panel of panels) panel.update();
  $("save").hidden = !now.some((solve) => solve.trace);
}

/** The end of all panels' time axes in seconds; rounded up while a solve runs, so that the axes rarely change. */
function domain() {
  const now = shown();
  const longest = Math.max(0.001, ...now.map(reach));
  return now.some((solve) => solve.state === "running") ? round(longest) : longest;
}

/** The comparison of two solves of one question; empty for anything else. */
function verdict(now) {
  if (now.length < 2 || now[0].question !== now[1].question) return [];
  const seconds = now.map((solve) => number(solve.latency_s));
  if (seconds.some((one) => !one)) return [];
  const [one, other] = now;
  const answers = one.answer === other.answer ? "; the answer is the same." : "; their answers differ.";
  return [
    h(
      "p",
      {},
      h("b", {}, one.method), " took ", h("b", { class: "times" }, `${(seconds[0] / seconds[1]).toFixed(2)} ×`),
      " the time of ", h("b", {}, other.method), answers,
    ),
    h(
      "dl",
      { class: "race" },
      now.flatMap((solve, idx) => [
        h("dt", {}, solve.method),
        h("dd", { "--w": within(seconds[idx] / Math.max(...seconds), 0, 1) }, h("span", {}, time(seconds[idx]))),
      ]),
    ),
  ];
}

function short(text) {
  return text.length > 40 ? `${text.slice(0, 39)}…` : text;
}

/** Announce a text to screen readers. */
function say(text) {
  $("said").textContent = text;
}

/** Show an error; without a text, hide it. */
function trouble(text = "") {
  $("trouble").textContent = text;
  $("trouble").hidden = !text;
}

// Traces

/** Add recorded solves and show the first one, or both if they are two solves of one question. */
function add(traces) {
  const found = traces.map((trace) => ({ ...trace, state: trace.finish_reason === "error" ? "failed" : "done", trace }));
  solves.push(...found);
  const [first, second] = found;
  show(first, found.length === 2 && first.question === second.question ? second : null);
}

async function open(files) {
  trouble();
  try {
    const found = [];
    for (const file of files) found.push(...(await tracesOf(file)));
    add(found);
    say(`${many(found.length, "solve")} opened`);
    $("shown").scrollIntoView();
  } catch (error) {
    if (!(error instanceof BadTrace)) throw error;
    trouble(error.message);
  }
}

/** Download the shown traces as a file. */
function save() {
  const traces = shown().flatMap((solve) => (solve.trace ? [solve.trace] : []));
  const text = traces.map((trace) => `${JSON.stringify(trace)}\n`).join("");
  const url = URL.createObjectURL(new Blob([text], { type: "application/jsonl" }));
  h("a", { href: url, download: traces.length > 1 ? "traces.jsonl" : "trace.json" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

// Asking

/** Swap the Solve and Stop buttons and keep the keyboard focus. */
function busy(is) {
  const [to, from] = is ? [$("stop"), $("go")] : [$("go"), $("stop")];
  const stood = document.activeElement === from;
  to.hidden = false;
  from.hidden = true;
  if (stood) to.focus();
}

/** The options that the user typed, without empty fields and fields that the method does not have. */
function options() {
  const fields = [...$("options").querySelectorAll("input")].filter((field) => field.value !== "" && !field.disabled);
  return Object.fromEntries(fields.map((field) => [field.name, Number(field.value)]));
}

async function start() {
  const question = $("question").value.trim();
  trouble();
  running = new AbortController();
  busy(true);
  try {
    if (!(await connected())) return;
    const [method, chosen] = [$("method").value, options()];
    const beside = $("compare").checked && method !== REFERENCE;
    const first = begun(method, question);
    const second = beside ? begun(REFERENCE, question) : null;
    if (second) second.status = `begins when ${method} is done, with the same n and seed`;
    solves.push(...[first, second].filter(Boolean));
    show(first, second);
    await follow(first, chosen);
    // One after the other, so that neither takes time from the other.
    if (second && first.state === "done") {
      await follow(second, { n: settingsOf(first).n, seed: first.seed });
    } else if (second) second.state = "stopped";
  } finally {
    running = null;
    busy(false);
    refresh();
  }
}

/** Run one solve to its end, and ask the user for an API key whenever the server wants one. */
async function follow(solve, chosen) {
  solve.status = "sent, waiting for the first step";
  solve.since = performance.now();
  let told = 0;
  const changed = () => {
    for (const step of solve.steps.slice(told)) say(heard(step));
    told = solve.steps.length;
    refresh();
  };
  try {
    await withKey(() => run(solve, chosen, running.signal, changed));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    [solve.state, solve.error] = ["failed", error.message];
    refresh();
  }
  if (solve.error) say(`${solve.method}: ${solve.error}`);
  else if (solve.state === "done") say(`${solve.method}: answer ${solve.answer ?? "none"}, ${time(solve.latency_s)}`);
}

/** A step as screen readers announce it. */
function heard(step) {
  const aside = setAside(step);
  const text = step.text?.trim() ?? aside ?? "no candidate was chosen";
  return `${inThinking(step) ? "Thinking, step" : "Step"} ${step.step_idx + 1} by the ${step.writer}${step.accepted || aside ? "" : ", thrown away"}: ${text}`;
}

/** Call `act`; if the server wants an API key, ask the user for one and call it again. */
async function withKey(act) {
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (error.status !== 401) throw error;
      const had = sessionStorage.getItem(KEY);
      const key = await secret(had ? "The server refuses this API key. Enter another one:" : "This server needs an API key:");
      if (!key) throw error;
      sessionStorage.setItem(KEY, key);
    }
  }
}

/** The key that the user enters; "" for none. */
function secret(why) {
  $("why").textContent = why;
  $("secret").value = "";
  $("key").returnValue = "";
  $("key").showModal();
  return new Promise((resolve) => {
    $("key").addEventListener("close", () => resolve($("key").returnValue ? $("secret").value.trim() : ""), { once: true });
  });
}

/** Nodes for a line of text with `code` in it. */
function prose(line) {
  return line.split("`").map((part, idx) => (idx % 2 ? h("code", {}, part) : part));
}

/** Show the description and the options of the chosen method. */
function describe() {
  const method = $("method").value;
  const { description, options } = offered.get(method);
  $("hint").replaceChildren(...prose(description));
  for (const field of $("options").querySelectorAll("[data-own]")) {
    field.disabled = field.parentElement.hidden = !(field.name in options);
    field.placeholder = options[field.name] ?? "";
  }
  $("beside-beam").hidden = method === REFERENCE || !offered.has(REFERENCE);
}

/** Whether the methods are known; asks the server for them unless it has listed them or is about to. */
async function connected() {
  if (!offered.size) await (listing ??= connect().finally(() => (listing = null)));
  return offered.size > 0;
}

async function connect() {
  $("ask").hidden = false;
  try {
    const found = await withKey(methods);
    offered = new Map(found.map((one) => [one.id, one]));
    const groups = [...new Set(found.map(({ group }) => group))];
    const choice = ({ id, description }) => h("option", { value: id }, `${id} – ${description.replaceAll("`", "")}`);
    const inGroup = (group) => found.filter((one) => one.group === group).map(choice);
    $("method").replaceChildren(...groups.map((group) => h("optgroup", { label: group }, inGroup(group))));
    $("method").value = found.find(({ usual }) => usual).id;
    describe();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    trouble(`The server did not list its methods. ${error.message}`);
  }
}

// User input

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!running) start();
});
$("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("ask").requestSubmit();
});
$("stop").addEventListener("click", () => running?.abort());
$("example").addEventListener("click", () => ($("question").value = EXAMPLES[example++ % EXAMPLES.length]));
$("method").addEventListener("change", describe);
$("cancel").addEventListener("click", () => $("key").close());
$("more").addEventListener("click", () => {
  $("options").hidden = !$("options").hidden;
  $("more").setAttribute("aria-expanded", String(!$("options").hidden));
});
for (const id of ["first", "second"]) $(id).addEventListener("change", arrange);
$("save").addEventListener("click", save);
$("file").addEventListener("change", async () => {
  await open($("file").files);
  $("file").value = "";
});
for (const kind of ["dragenter", "dragover"])
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").hidden = false;
  });
document.addEventListener("dragleave", (event) => ($("drop").hidden = event.relatedTarget === null));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").hidden = true;
  if (event.dataTransfer.files.length) open(event.dataTransfer.files);
});
setInterval(() => {
  for (const panel of panels) panel.tick();
}, 100);

const embedded = JSON.parse($("traces").textContent);
if (embedded.length) add(embedded);
if (LIVE) connected();
document.querySelector(".reading").open = LIVE && matchMedia("(min-width: 48rem)").matches;
