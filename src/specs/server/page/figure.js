// The figure of a solve: rewards of all candidates above, phases below, on one time axis.

const LANES = [
  ["draft", "draft"],
  ["target_generate", "target writing"],
  ["target_score", "target scoring"],
  ["prm", "prm"],
];
const SHORT = { target_generate: "t. writes", target_score: "t. scores" };
const REWARDS = 66; // heights, px
const LANE = 17;
const LONG = 1e9; // the longest time that is drawn, in seconds
const MOST_BARS = 240; // of a lane; where there are more steps, a bar stands for several
const MOST_DOTS = 64; // of a step

/** When each step ran: [{ step, idx, start, end }], in seconds since the start of the solve. */
function spans(steps) {
  let end = 0;
  return steps.map((step, idx) => {
    const start = end;
    end += within(step.seconds.wall, 0, LONG);
    return { step, idx, start, end };
  });
}

/** At most `MOST_BARS` spans: where there are more steps, each stands for equally many and `idx` is its first one. */
function condensed(all) {
  const size = Math.ceil(all.length / MOST_BARS);
  if (size <= 1) return all;
  const found = [];
  for (let idx = 0; idx < all.length; idx += size) {
    const part = all.slice(idx, idx + size);
    found.push({ step: together(part.map(({ step }) => step)), idx, start: part[0].start, end: part.at(-1).end });
  }
  return found;
}

/** Several steps as one: the sums of their seconds and the mean reward of the accepted ones. */
function together(steps) {
  const accepted = steps.filter((step) => step.accepted && step.chosen !== null);
  const rewards = accepted.map((step) => number(step.candidates[step.chosen].reward)).filter((reward) => reward !== null);
  const sum = (phase) => total(steps.map((step) => within(step.seconds[phase], 0, LONG)));
  return {
    ...(accepted[0] ?? steps[0]),
    steps: steps.length,
    accepted: accepted.length > 0,
    seconds: Object.fromEntries(["wall", ...LANES.map(([phase]) => phase)].map((phase) => [phase, sum(phase)])),
    candidates: [{ reward: rewards.length ? total(rewards) / rewards.length : null, probability: 1 }],
    chosen: 0,
    kept: null,
  };
}

/** The end of a solve in seconds: its latency, or the end of its last step if a file puts that later. */
function reach(solve) {
  return Math.max(within(solve.latency_s, 0, LONG), spans(solve.steps).at(-1)?.end ?? 0);
}

/** The seconds in which a model was busy; a step that was cut off counts too. */
function atWork(solve, phase) {
  return total([...solve.steps.map((step) => step.seconds), solve.unfinished ?? {}].map((busy) => busy[phase]));
}

/** The next of 1, 2, 5, 10, ... at or above `value`. */
function round(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((k) => k * power).find((one) => one >= value * 0.9999);
}

const tidy = (value) => Number(value.toPrecision(6));

/**
 * The drawing, `width` px wide; its axis ends at `domain` seconds. It calls `point(idx, clicked)` when the pointer
 * enters, leaves (`idx` null) or clicks a step.
 */
function figure(solve, width, domain, point) {
  const narrow = width < 460;
  const [left, right, top] = [narrow ? 62 : 104, narrow ? 52 : 62, 16];
  const judged = solve.steps.some((step) => step.candidates.some((one) => number(one.reward) !== null));
  const lanes = top + (judged ? REWARDS + 14 : 0);
  const height = lanes + LANES.length * LANE + 24;
  const x = (seconds) => left + (seconds / domain) * (width - left - right);
  const y = (reward) => top + (1 - within(reward, 0, 1)) * REWARDS;
  const all = condensed(spans(solve.steps));
  const canvas = s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": said(solve) });
  const text = (at, down, words, attributes) => s("text", { x: at, y: down, ...attributes }, words);

  for (let at = 0, by = round(domain / (narrow ? 3 : 6)); at <= domain * 1.0001; at += by) {
    const name = at === 0 ? "0" : domain < 1 ? `${tidy(at * 1e3)} ms` : `${tidy(at)} s`;
    canvas.append(
      s("line", { class: "tick", x1: x(at), x2: x(at), y1: lanes, y2: height - 18 }),
      text(x(at), height - 5, name, { class: "soft", "text-anchor": "middle" }),
    );
  }
  LANES.forEach(([phase, name], k) => {
    const down = lanes + k * LANE;
    const busy = atWork(solve, phase);
    canvas.append(
      text(left - 8, down + 12, (narrow && SHORT[phase]) || name, { class: `ink-${phase}`, "text-anchor": "end" }),
      s("line", { class: "rule", x1: left, x2: width - right, y1: down + LANE - 1, y2: down + LANE - 1 }),
      text(width, down + 12, busy ? time(busy) : "0", { class: `ink-${busy ? phase : "none"}`, "text-anchor": "end" }),
    );
  });
  if (judged) {
    for (const reward of [0, 1])
      canvas.append(
        s("line", { class: "rule", x1: left, x2: width - right, y1: y(reward), y2: y(reward) }),
        text(left - 8, y(reward) + 4, reward, { class: "soft", "text-anchor": "end" }),
      );
    canvas.append(text(left - 8, y(0.5) + 4, "reward", { "text-anchor": "end" }));
    const { switch_on, accept_weight, tau: threshold } = settingsOf(solve);
    const tau = switch_on === "trace" && !accept_weight ? number(threshold) : null;
    if (tau !== null)
      canvas.append(
        s("line", { class: "tau", x1: left, x2: width - right, y1: y(tau), y2: y(tau) }),
        text(width - right + 6, y(tau) + 4, `τ ${tau}`, { class: "soft" }),
      );
    canvas.append(s("path", { class: "way", d: way(all, x, y) }));
  }
  let labelled = -Infinity;
  all.forEach(({ step, idx, start, end }) => {
    const [from, to] = [x(start), x(end)];
    const band = s(
      "g",
      { class: `band${step.accepted ? "" : " thrown"}`, "data-idx": idx },
      s("title", {}, summary(step)),
      s("rect", { class: "ground", x: from, width: Math.max(0, to - from), y: 0, height: height - 18 }),
      s("line", { class: "edge", x1: to, x2: to, y1: top - 4, y2: height - 18 }),
    );
    if (step.accepted && (from + to) / 2 - labelled > 6 + 7 * String(step.step_idx + 1).length) {
      labelled = (from + to) / 2;
      band.append(text(labelled, 9, step.step_idx + 1, { class: `ink-${step.writer} number`, "text-anchor": "middle" }));
    }
    LANES.forEach(([phase], k) => {
      const busy = within(step.seconds[phase], 0, LONG);
      if (busy <= 0) return;
      const writing = phase === "draft" || phase === "target_generate";
      const long = Math.min(to - from, Math.max(1, x(busy) - left));
      const bar = { x: writing ? from : to - long, width: long, y: lanes + k * LANE + 2, height: LANE - 6 };
      band.append(s("rect", { class: `fill-${phase}`, ...bar }));
      if (!step.accepted) band.append(s("rect", { class: "hatch", ...bar, fill: "url(#hatched)" }));
    });
    if (judged) band.append(...dots(step, to, y));
    band.addEventListener("pointerenter", () => point(idx, false));
    band.addEventListener("pointerleave", () => point(null, false));
    band.addEventListener("click", () => point(idx, true));
    canvas.append(band);
  });
  return canvas;
}

/** Circles for a step's candidates at the end of the step; the chosen one is filled, a larger area means more chance. */
function dots(step, at, y) {
  return distinct(step)
    .slice(0, MOST_DOTS)
    .filter((group) => number(group.lead.reward) !== null)
    .reverse()
    .map((group) =>
      s("circle", {
        class: `dot dot-${step.writer}${group.chosen ? " chosen" : ""}`,
        cx: at,
        cy: y(group.lead.reward),
        r: group.chosen ? Math.max(2.5, 5 * Math.sqrt(chance(group))) : 1.5 + 3.5 * Math.sqrt(chance(group)),
      }),
    );
}

/** A group's probability; where it is not known, 1 for the chosen one and 0 for others. */
const chance = (group) => (group.probability === null ? Number(group.chosen) : within(group.probability, 0, 1));

/** The line through the rewards of the accepted steps. */
function way(all, x, y) {
  const points = all
    .filter(({ step }) => step.accepted && number(step.candidates[step.chosen]?.reward) !== null)
    .map(({ step, end }) => `${x(end).toFixed(1)},${y(step.candidates[step.chosen].reward).toFixed(1)}`);
  return points.length ? `M${points.join("L")}` : "";
}

/** The seconds of a step and its phases, in one line. */
function summary(step) {
  const busy = LANES.filter(([phase]) => number(step.seconds[phase]) > 0);
  const parts = busy.map(([phase, name]) => `${name} ${time(step.seconds[phase])}`);
  const fate = step.accepted ? "" : ", thrown away";
  const which = step.steps ? `${many(step.steps, "step")} from step ${step.step_idx + 1}` : `step ${step.step_idx + 1}, ${step.writer}`;
  return `${which}${fate}: ${time(step.seconds.wall)} (${parts.join(", ")})`;
}

/** The figure in words, for screen readers. */
function said(solve) {
  const parts = LANES.map(([phase, name]) => `${name} ${time(atWork(solve, phase))}`);
  return `Time line of ${many(solve.steps.length, "step")}: ${parts.join(", ")} at work.`;
}
