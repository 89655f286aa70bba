// The list of steps. It may have thousands: of a long list only steps near the window are elements of the page.

const CHUNK = 20; // steps that come and go together
const ALWAYS = 100; // a list of at most so many steps is on the page as a whole, so that it can be searched
const NEAR = "900px 0px"; // how far outside the window they come and go
const GUESS = 62; // px, the height of a step before any was measured

class StepList {
  constructor(label) {
    this.steps = [];
    this.chunks = []; // [{ element, first, near, built: [{ step, open, scale, element }] }]
    this.scale = 1;
    this.allOpen = false;
    this.turned = new Set(); // indices of steps that are open while `allOpen` is false, and the other way round
    this.pointed = null;
    this.mean = GUESS;
    this.element = h("div", { class: "list", role: "list", "aria-label": label });
    this.watch = new IntersectionObserver((seen) => this.moved(seen), { rootMargin: NEAR });
    this.sizes = new ResizeObserver(() => this.resized());
    this.sizes.observe(this.element);
  }

  /** Show these steps; those that are on the page already stay as they are. `fresh`: whether new ones fade in. */
  update(steps, fresh) {
    const old = this.steps.length;
    this.steps = steps;
    this.scale = largest(1, steps.flatMap(ratios));
    for (let first = this.chunks.length * CHUNK; first < steps.length; first += CHUNK) {
      const near = steps.length <= ALWAYS || first === 0 || (steps.length - old <= CHUNK && this.chunks.at(-1).near);
      const chunk = { element: h("div", { class: "chunk" }), first, near, built: [] };
      this.chunks.push(chunk);
      this.element.append(chunk.element);
      this.watch.observe(chunk.element);
    }
    for (const chunk of this.chunks.splice(Math.ceil(steps.length / CHUNK))) {
      this.watch.unobserve(chunk.element);
      chunk.element.remove();
    }
    for (const chunk of this.chunks) this.build(chunk, fresh ? old : Infinity);
  }

  isOpen(idx) {
    return this.allOpen !== this.turned.has(idx);
  }

  toggle(idx) {
    if (!this.turned.delete(idx)) this.turned.add(idx);
    this.build(this.chunks[Math.floor(idx / CHUNK)]);
  }

  openAll(open) {
    this.allOpen = open;
    this.turned.clear();
    for (const chunk of this.chunks) this.build(chunk);
    this.measure();
  }

  /** Highlight a step (null for none); with `go`, also scroll to it. */
  point(idx, go) {
    this.find(this.pointed)?.classList.remove("pointed");
    this.pointed = idx;
    if (go && idx !== null) {
      const chunk = this.chunks[Math.floor(idx / CHUNK)];
      chunk.near = true;
      this.build(chunk);
      this.find(idx).scrollIntoView({ block: "center" });
    }
    this.find(idx)?.classList.add("pointed");
  }

  /** The element of a step, if it is on the page. */
  find(idx) {
    return idx === null ? undefined : this.chunks[Math.floor(idx / CHUNK)]?.built[idx % CHUNK]?.element;
  }

  close() {
    this.watch.disconnect();
    this.sizes.disconnect();
  }

  /** Make the elements of a chunk what they should be: none far from the window, else one for each step. */
  build(chunk, fresh = Infinity) {
    const { element, first, built } = chunk;
    if (!chunk.near) {
      // A folded list has no height to go by.
      if (built.length && element.offsetHeight) element.style.height = `${element.offsetHeight}px`;
      else if (!element.style.height) element.style.height = this.guessed(chunk);
      built.length = 0;
      element.replaceChildren();
      return;
    }
    element.style.height = "";
    this.steps.slice(first, first + CHUNK).forEach((step, at) => {
      const [idx, before] = [first + at, built[at]];
      const open = this.isOpen(idx);
      if (before && before.step === step && before.open === open && before.scale === this.scale) return;
      const made = stepElement(step, this.scale, open, idx, () => this.toggle(idx));
      if (idx >= fresh) made.classList.add("new");
      if (idx === this.pointed) made.classList.add("pointed");
      if (before) {
        const focused = before.element.contains(document.activeElement);
        before.element.replaceWith(made);
        if (focused) made.querySelector("button").focus({ preventScroll: true });
      } else element.append(made);
      built[at] = { step, open, scale: this.scale, element: made };
    });
    for (const { element: gone } of built.splice(Math.max(0, this.steps.length - first))) gone.remove();
  }

  /** Chunks have come near or gone far; the one with the keyboard focus stays. */
  moved(seen) {
    for (const { target, isIntersecting } of seen) {
      const chunk = this.chunks.find(({ element }) => element === target);
      if (!chunk) continue;
      chunk.near = isIntersecting || this.steps.length <= ALWAYS || target.contains(document.activeElement);
      this.build(chunk);
    }
  }

  /** The height of a chunk that is not built, from the mean height of those that are. */
  guessed({ first }) {
    return `${Math.min(CHUNK, this.steps.length - first) * this.mean}px`;
  }

  /** Take the mean height of a step from those on the page, and give all chunks that are not built theirs by it. */
  measure() {
    const built = this.chunks.filter((chunk) => chunk.built.length);
    const height = total(built.map((chunk) => chunk.element.offsetHeight));
    if (height) this.mean = height / total(built.map((chunk) => chunk.built.length));
    for (const chunk of this.chunks) if (!chunk.built.length) chunk.element.style.height = this.guessed(chunk);
  }

  /** Another width means other heights. */
  resized() {
    const width = this.element.clientWidth;
    if (width && width !== this.width) {
      this.width = width;
      this.measure();
    }
  }
}

/** The absolute log-ratios of a step's candidates, without those whose probability is known to be below 1%. */
function ratios(step) {
  const likely = step.candidates.filter((one) => (number(one.probability) ?? 1) > 0.01);
  return likely.map((one) => Math.abs(ratio(step, one) ?? 0)).filter(Number.isFinite);
}
