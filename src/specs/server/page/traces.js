// What a trace says: the distinct candidates of a step, why a step was thrown away, the text of a solve.

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

/** Whether a step is one of the thinking before the answer. */
const inThinking = (step) => step.phase === "thinking";

/** The text of the answer: as the trace has it, or else the accepted steps so far. */
function solutionOf(solve) {
  if (typeof solve.text === "string") return solve.text.slice(solve.thinking?.length ?? 0);
  return acceptedText(solve.steps.filter((step) => !inThinking(step)));
}

/** The text of the thinking before the answer, likewise, without the tag that closes it; "" without thinking. */
function thinkingOf(solve) {
  const text = typeof solve.text === "string" ? (solve.thinking ?? "") : acceptedText(solve.steps.filter(inThinking));
  return text.replace(/(<\/think>|\[\/THINK\])\s*$/, "");
}

function acceptedText(steps) {
  const accepted = steps.filter((step) => step.accepted && step.chosen !== null);
  return accepted.map((step) => step.candidates[step.chosen].text).join("");
}

/** The largest of `values` and `least`; unlike Math.max(...values) it takes any number of them. */
const largest = (least, values) => values.reduce((most, value) => (value > most ? value : most), least);
