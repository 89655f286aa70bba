// Trace files: one solve per line, as `specs solve --trace` writes it; also gzipped.

const PHASES = ["draft", "target_generate", "target_score", "prm"];
const WRITERS = ["draft", "target"];

class BadTrace extends Error {}

/** The solves in a file that the user chose. */
async function tracesOf(file) {
  let stream = file.stream();
  if (file.name.endsWith(".gz")) stream = stream.pipeThrough(new DecompressionStream("gzip"));
  let text;
  try {
    text = await new Response(stream).text();
  } catch {
    throw new BadTrace(`${file.name} cannot be read; give JSON lines, gzipped if named .gz`);
  }
  const lines = text.split("\n").map((line, idx) => [line, `${file.name}, line ${idx + 1}`]);
  const traces = lines.filter(([line]) => line.trim()).map(([line, where]) => checked(parsed(line, where), where));
  if (!traces.length) throw new BadTrace(`${file.name} holds no trace; give what 'specs solve --trace' writes`);
  return traces;
}

function parsed(line, where) {
  try {
    return JSON.parse(line);
  } catch {
    throw new BadTrace(`${where}: not JSON; give one solve per line, as 'specs solve --trace' writes it`);
  }
}

/** The trace unchanged; throws `BadTrace` if a field that the page draws is missing or has a wrong type. */
function checked(trace, where) {
  const need = (object, name, fits, kind) => {
    if (!fits(object?.[name])) throw new BadTrace(`${where}: '${name}' is not ${kind}; give a whole trace`);
  };
  const text = (value) => typeof value === "string";
  const figure = (value) => value === null || number(value) !== null;
  const object = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
  if (!object(trace)) throw new BadTrace(`${where} is not an object; give what 'specs solve --trace' writes`);
  for (const name of ["question", "method", "finish_reason"]) need(trace, name, text, "text");
  for (const name of ["usage", "models", "settings"]) need(trace, name, object, "an object");
  for (const name of ["latency_s", "time_to_first_step_s"]) need(trace, name, figure, "a number");
  for (const name of ["answer", "error"]) need(trace, name, (value) => value === null || text(value), "text or null");
  need(trace, "steps", Array.isArray, "a list");
  trace.steps.forEach((step, idx) => {
    const here = `${where}, step ${idx + 1}`;
    if (!WRITERS.includes(step?.writer) || !object(step.seconds) || !Array.isArray(step.candidates))
      throw new BadTrace(`${here} is not whole; give what 'specs solve --trace' writes`);
    const whole = step.candidates.every(
      (one) => text(one?.text) && ["log_p", "log_q", "reward", "score", "probability"].every((name) => figure(one[name])),
    );
    if (!whole) throw new BadTrace(`${here}: a candidate lacks its text or its figures; give a whole trace`);
  });
  return trace;
}

/** What a round without a chosen candidate set aside ("2 finished"); null where there is a choice or nothing of that. */
function setAside(step) {
  return step.chosen === null && step.kept?.length ? `${step.kept.length} finished, set aside` : null;
}

/**
 * The distinct candidates of a step: [{ lead, idxs, probability, chosen, kept }], the chosen one first, then by
 * probability. Candidates with the same tokens are one entry; their probabilities are added. The probability is null
 * where the target has not read all candidates, since the draw did not need it.
 */
function distinct(step) {
  const groups = new Map();
  step.candidates.forEach((candidate, idx) => {
    const lead = candidate.duplicates_of ?? idx;
    if (!groups.has(lead)) groups.set(lead, { lead: step.candidates[lead] ?? candidate, idxs: [], probability: 0 });
    const group = groups.get(lead);
    group.idxs.push(idx);
    const more = number(candidate.probability);
    group.probability = more === null || group.probability === null ? null : group.probability + more;
  });
  const found = [...groups.values()];
  for (const group of found) {
    group.chosen = group.idxs.includes(step.chosen);
    group.kept = group.idxs.filter((idx) => step.kept?.includes(idx)).length;
  }
  return found.sort((a, b) => b.chosen - a.chosen || b.probability - a.probability);
}

/** log p − log q of a draft's candidate; null if the target wrote it or did not score it. */
function ratio(step, candidate) {
  if (step.writer !== "draft") return null;
  const [p, q] = [number(candidate.log_p), number(candidate.log_q)];
  return p === null || q === null ? null : p - q;
}

/** Settings by name. Version 1 was flat; since version 2 they are nested by owner. */
function settingsOf(solve) {
  const { version, limits, sampling, method, steps, ...flat } = solve.settings ?? {};
  return version === undefined ? { ...solve.settings } : { ...flat, ...limits, ...sampling, ...method };
}
