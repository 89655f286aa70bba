// Trace files: one solve per line, as `specs solve --trace` writes it; also gzipped. What is opened is checked first.

const GIVE = "give what 'specs solve --trace' writes";
const MOST_BYTES = 2 ** 27; // unpacked; far more would not fit into a tab
const MOST_SOLVES = 2000; // of a file
const SETTINGS_VERSION = Number(document.documentElement.dataset.settings);

/** A file cannot be shown; the message is one sentence that names the file, the place and the fault. */
class BadTrace extends Error {}

/** The solves in a file that the user chose. */
async function tracesOf(file) {
  const lines = (await textOf(file)).split("\n").map((line, idx) => [line, `${file.name}, line ${idx + 1}`]);
  const full = lines.filter(([line]) => line.trim());
  if (!full.length) throw new BadTrace(`${file.name} holds no trace; ${GIVE}`);
  if (full.length > MOST_SOLVES)
    throw new BadTrace(`${file.name} has ${count(full.length)} lines; give at most ${count(MOST_SOLVES)} solves`);
  return full.map(([line, where]) => checked(parsed(line, where), where));
}

/** The text of a file, unpacked if its name ends in .gz. */
async function textOf(file) {
  let bytes = 0;
  const limit = new TransformStream({
    transform(part, stream) {
      bytes += part.byteLength;
      if (bytes > MOST_BYTES) stream.error(new RangeError());
      else stream.enqueue(part);
    },
  });
  try {
    const zipped = file.name.endsWith(".gz");
    const stream = zipped ? file.stream().pipeThrough(new DecompressionStream("gzip")) : file.stream();
    return await new Response(stream.pipeThrough(limit)).text();
  } catch {
    if (bytes > MOST_BYTES) throw new BadTrace(`${file.name} is larger than ${MOST_BYTES / 2 ** 20} MB; split it`);
    throw new BadTrace(`${file.name} cannot be read; give JSON lines, gzipped if named .gz`);
  }
}

function parsed(line, where) {
  try {
    return JSON.parse(line);
  } catch {
    throw new BadTrace(`${where}: not JSON; give one solve per line, as 'specs solve --trace' writes it`);
  }
}

// Kinds of values: [whether a value is of this kind, the kind in words].

const TEXT = [(value) => typeof value === "string", "text"];
const FIGURE = [(value) => number(value) !== null, "a number"];
const WHOLE = [Number.isInteger, "a whole number"];
const YES_OR_NO = [(value) => typeof value === "boolean", "true or false"];
const OBJECT = [(value) => value !== null && typeof value === "object" && !Array.isArray(value), "an object"];
const LIST = [Array.isArray, "a list"];
const orNull = ([fits, kind]) => [(value) => value === null || fits(value), `${kind} or null`];
const optional = ([fits, kind]) => [(value) => value === undefined || value === null || fits(value), kind];
const listOf = ([fits], kind) => [(value) => Array.isArray(value) && value.every(fits), kind];
const objectOf = ([fits], kind) => [(value) => OBJECT[0](value) && Object.values(value).every(fits), kind];
const below = (n) => [(value) => Number.isInteger(value) && value >= 0 && value < n, `one of its ${many(n, "candidate")}`];

const SOLVE = {
  question: TEXT, method: TEXT, text: TEXT, finish_reason: TEXT, answer: orNull(TEXT), error: orNull(TEXT),
  latency_s: orNull(FIGURE), time_to_first_step_s: orNull(FIGURE), seed: FIGURE, settings: OBJECT,
  usage: objectOf(OBJECT, "an object of objects"), models: objectOf(TEXT, "an object of texts"), steps: LIST,
  notes: optional(listOf(TEXT, "a list of texts")), thinking: optional(TEXT),
};
const STEP = {
  step_idx: WHOLE, accepted: YES_OR_NO, writer: [(value) => value === "draft" || value === "target", "draft or target"],
  ess: orNull(FIGURE), seconds: objectOf(FIGURE, "an object of numbers"), candidates: LIST,
};
const CANDIDATE = {
  text: TEXT, end: optional(TEXT), log_p: orNull(FIGURE), log_q: orNull(FIGURE), reward: orNull(FIGURE),
  score: orNull(FIGURE), probability: orNull(FIGURE), log_p_at_most: optional(FIGURE), token_ids: optional(LIST),
};

/** The trace unchanged; throws `BadTrace` if a field that the page uses is missing or of another kind. */
function checked(trace, where) {
  need(trace, SOLVE, where);
  need(trace.settings, { version: optional(WHOLE) }, `${where}, settings`);
  if (trace.settings.version > SETTINGS_VERSION)
    throw new BadTrace(`${where}: its settings have version ${trace.settings.version}, which is newer than this page; update specs`);
  trace.steps.forEach((step, step_idx) => {
    const here = `${where}, step ${step_idx + 1}`;
    need(step, STEP, here);
    const known = below(step.candidates.length);
    need(step, { chosen: orNull(known), kept: optional(listOf(known, "a list of its candidates")) }, here);
    const kinds = { ...CANDIDATE, duplicates_of: optional(known) };
    step.candidates.forEach((one, candidate_idx) => need(one, kinds, `${here}, candidate ${candidate_idx + 1}`));
  });
  return trace;
}

/** Throw `BadTrace` unless `value` is an object whose fields are of these kinds. */
function need(value, kinds, where) {
  if (!OBJECT[0](value)) throw new BadTrace(`${where} is not an object; ${GIVE}`);
  for (const [name, [fits, kind]] of Object.entries(kinds)) {
    const found = Object.hasOwn(value, name) ? value[name] : undefined;
    if (fits(found)) continue;
    if (found === undefined) throw new BadTrace(`${where}: no '${name}'; ${GIVE}`);
    throw new BadTrace(`${where}: '${name}' is not ${kind}; give a whole trace`);
  }
}
