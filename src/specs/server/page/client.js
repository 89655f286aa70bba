// Requests to the server: the list of methods, and solves that are streamed step by step.

const KEY = "specs-api-key";

/** The server refused a request or cannot be reached; with `status` 401 it wants an API key. */
class Refused extends Error {
  constructor(message, status = null) {
    super(message);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  let reply;
  try {
    reply = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The server cannot be reached. Is it still running?");
  }
  if (reply.ok) return reply;
  const said = await reply.json().catch(() => null);
  const wait = reply.headers.get("Retry-After");
  const message = said?.error?.message ?? reply.statusText ?? "";
  throw new Refused(`${reply.status}: ${message}${wait ? ` (try again in ${wait} s)` : ""}`, reply.status);
}

/** The methods that the server offers: [{ id, group, description, options, usual }]; `options` are their defaults by name, `usual` the one that is chosen. */
async function methods() {
  const { data } = await (await ask("v1/models")).json();
  return data.map(({ id, specs: { group, description, options, default: usual } }) => ({ id, group, description, options, usual }));
}

/**
 * Run `solve` on the server and call `changed` after every change; resolves when the solve is done, stopped or failed.
 * Throws `Refused` only if the server wants an API key.
 */
async function run(solve, options, signal, changed) {
  const body = {
    model: solve.method,
    messages: [{ role: "user", content: solve.question }],
    stream: true,
    stream_options: { include_usage: true },
    specs: { trace: true, ...options },
  };
  try {
    const reply = await ask("v1/chat/completions", { method: "POST", body: JSON.stringify(body), signal });
    for await (const data of events(reply.body)) {
      if (data !== "[DONE]") take(solve, JSON.parse(data));
      changed(solve);
    }
    if (solve.state !== "done") throw new Refused("The server closed the connection before the solve ended.");
  } catch (error) {
    if (error.name === "AbortError") solve.state = "stopped";
    else if (error.status === 401) throw error;
    else [solve.state, solve.error] = ["failed", error instanceof Refused ? error.message : `Cut off: ${error.message}`];
    changed(solve);
  }
}

/** Add one chunk of the reply to `solve`. */
function take(solve, chunk) {
  if (chunk.error) throw new Refused(`The solve failed: ${chunk.error.message}`);
  const { step, result, notes, queue_s: queued } = chunk.specs ?? {};
  if (step) {
    solve.state = "running";
    solve.steps.push(step);
  }
  if (queued !== undefined) solve.queue_s = queued;
  if (notes) solve.notes = notes;
  if (!result) return;
  const steps = result.steps.map((one, idx) => (same(one, solve.steps[idx]) ? solve.steps[idx] : one));
  Object.assign(solve, result, { method: solve.method, steps, state: "done", trace: result });
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/** The data of each server-sent event in a body. */
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split(/\r?\n/);
      rest = lines.pop();
      for (const line of lines) if (line.startsWith("data:")) yield line.slice(5).trim();
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
