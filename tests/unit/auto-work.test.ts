/** The work of the shipped cells, against what their equations say. */
import { describe, expect, it } from "vitest";
import { cellWork, type Work, weightOf, workOf } from "../../src/auto/work.ts";
import {
  concat,
  defineCell,
  divide,
  lorenz96,
  multiply,
  shift,
  slice,
  sqrt,
} from "../../src/cell/index.ts";
import { cellNamed, cells } from "../support/cells.ts";

const [I, H] = [3, 5];
const named = (name: string) => cellWork(cellNamed(name, 1, { inputSize: I, hiddenSize: H }));
/** tanh, sigmoid and their like, in additions. */
const F = weightOf("tanh");

describe("the work of a step, from the equations", () => {
  const expected: Record<string, { drive: Partial<Work>; step: Partial<Work> }> = {
    // h' = tanh(drive + U h)
    "rnn-tanh": {
      drive: { multiplyAdds: H * I, pointwise: H, weightBytes: 4 * H * I },
      step: { multiplyAdds: H * H, pointwise: H + F * H, instructions: 3, weightBytes: 4 * H * H },
    },
    // Two gates of drive + U h; n of b_hn, r ∘, drive; then n + z ∘ (h − n).
    "gru-reset-after": {
      drive: { multiplyAdds: 3 * H * I, pointwise: 3 * H },
      step: { multiplyAdds: 3 * H * H, pointwise: 2 * (1 + F) * H + (3 + F) * H + 3 * H },
    },
    // The bias of n stands outside U (r ∘ h), in the drive.
    "gru-reset-before": {
      drive: { multiplyAdds: 3 * H * I, pointwise: 3 * H },
      step: { multiplyAdds: 3 * H * H, pointwise: 2 * (1 + F) * H + (2 + F) * H + 3 * H },
    },
    // Four gates, c' = f ∘ c + i ∘ g, h' = o ∘ tanh(c').
    "lstm-plain": {
      drive: { multiplyAdds: 4 * H * I, pointwise: 4 * H },
      step: { multiplyAdds: 4 * H * H, pointwise: 4 * (1 + F) * H + 3 * H + (1 + F) * H },
    },
    // Three products with a peephole and their additions more.
    "lstm-peephole": {
      drive: { multiplyAdds: 4 * H * I, pointwise: 4 * H },
      step: { multiplyAdds: 4 * H * H, pointwise: 4 * (1 + F) * H + 4 * H + F * H + 6 * H },
    },
    // f ∘ h, two sums with U, h + f ∘ (n − h).
    "minimal-gru": {
      drive: { multiplyAdds: 2 * H * I, pointwise: 2 * H },
      step: { multiplyAdds: 2 * H * H, pointwise: 2 * (1 + F) * H + 4 * H },
    },
    "diagonal-gru": {
      drive: { multiplyAdds: 3 * H * I },
      step: { multiplyAdds: 0, weightBytes: 0 },
    },
    "diagonal-lstm": { drive: { multiplyAdds: 3 * H * I }, step: { multiplyAdds: 0 } },
    // W y, U h, V h'; nothing of the noise but a product.
    "autoregressive-gru": {
      drive: { multiplyAdds: 0 },
      step: { multiplyAdds: 3 * H + 3 * H * H + 2 * H },
    },
    "custom-three-layers": { drive: { multiplyAdds: H * I }, step: { multiplyAdds: 3 * H * H } },
  };

  it.each(Object.entries(expected))("%s", (name, { drive, step }) => {
    const work = named(name);
    expect(work.drive).toMatchObject(drive);
    expect(work.step).toMatchObject(step);
  });

  it("lorenz96: 28 D operations and 12 rotations of D, as each slope rotates three ways", () => {
    const D = 40;
    const { drive, step } = cellWork(lorenz96({ size: D }));
    expect(drive).toEqual({ multiplyAdds: 0, pointwise: 0, instructions: 0, weightBytes: 0 });
    expect(step).toMatchObject({ multiplyAdds: 0, pointwise: 28 * D + 12 * D });
  });

  it("weighs divisions and roots more than sums, and functions more than both", () => {
    expect(weightOf("add")).toBe(1);
    expect(weightOf("divide")).toBeGreaterThan(weightOf("add"));
    expect(weightOf("sqrt")).toBe(weightOf("divide"));
    for (const name of ["tanh", "sigmoid", "exp", "log", "softplus", "sin", "cos"] as const) {
      expect(weightOf(name)).toBeGreaterThan(weightOf("divide"));
    }
    const cell = defineCell({
      name: "quotient",
      inputSize: 0,
      state: { a: 4, b: 3 },
      step: ({ a, b }) => ({ a: divide(a, sqrt(a)), b: multiply(2, b) }),
    });
    expect(cellWork(cell).step).toMatchObject({
      pointwise: 4 * weightOf("divide") + 4 * weightOf("sqrt") + 3,
      instructions: 3,
    });
  });

  it("counts views that must be copied, and no others", () => {
    const cell = defineCell({
      name: "views",
      inputSize: 0,
      state: { a: 4, b: 2 },
      step: ({ a, b }) => ({ a: shift(a, 1), b: multiply(slice(a, 1, 2), b) }),
    });
    // shift: a slice of three and one of one; the slice in the product is just an address.
    expect(cellWork(cell).step).toMatchObject({ pointwise: 4 + 2, instructions: 3 });
  });
});

describe("what Jacobians add", () => {
  it("nothing for none and identity", () => {
    for (const kind of ["none", "identity"] as const) {
      expect(Object.values(named("gru-reset-after").jacobian(kind)).every((n) => n === 0)).toBe(
        true,
      );
    }
  });

  it("diagonal of a tanh layer: 1 − h², times diag(U), times P", () => {
    expect(named("rnn-tanh").jacobian("diagonal")).toMatchObject({
      multiplyAdds: 0,
      pointwise: 4 * H,
    });
  });

  it("one product with (W₂ ∘ W₁ᵀ) for paths through two layers", () => {
    expect(named("gru-reset-before").jacobian("diagonal").multiplyAdds).toBe(H * H);
    expect(named("minimal-gru").jacobian("diagonal").multiplyAdds).toBe(H * H);
  });

  it("probes for three layers: each a product per layer", () => {
    const cell = cellNamed("custom-three-layers", 1, { inputSize: I, hiddenSize: H });
    expect(cellWork(cell).jacobian("diagonal").multiplyAdds).toBe(cell.probes * 3 * H * H);
  });

  it("dense: a tangent for every element of the state", () => {
    for (const cell of cells(1, { inputSize: I, hiddenSize: H })) {
      const { step, jacobian } = cellWork(cell);
      if (step.multiplyAdds === 0) continue;
      const tangents = jacobian("dense").multiplyAdds / step.multiplyAdds;
      // A cell whose tangent takes several paths may need more products than its step.
      expect(tangents, cell.name).toBeGreaterThanOrEqual(cell.stateSize);
      expect(tangents, cell.name).toBeLessThanOrEqual(3 * cell.stateSize);
    }
  });

  it("blocks where the state has units of several parts, else the diagonal", () => {
    const lstm = named("lstm-plain");
    expect(lstm.jacobian("block").pointwise).toBeGreaterThan(lstm.jacobian("diagonal").pointwise);
    expect(named("rnn-tanh").jacobian("block")).toEqual(named("rnn-tanh").jacobian("diagonal"));
  });

  it("certificate: the step and four tangents", () => {
    for (const name of ["rnn-tanh", "gru-reset-after", "lstm-plain"]) {
      const { step, certificate } = named(name);
      expect(certificate().multiplyAdds).toBe(5 * step.multiplyAdds);
      expect(certificate().weightBytes).toBe(step.weightBytes);
    }
  });
});

describe("counting", () => {
  it("is done once a cell, and gives the same for the same cell made again", () => {
    const options = { inputSize: I, hiddenSize: H };
    const cell = cellNamed("gru-reset-after", 1, options);
    expect(cellWork(cell)).toBe(cellWork(cell));
    const again = cellWork(cellNamed("gru-reset-after", 2, options));
    expect(again.step).toEqual(cellWork(cell).step);
    expect(again.certificate()).toEqual(cellWork(cell).certificate());
  });

  it("counts a vector once, whoever reads it, and weights once, whoever multiplies with them", () => {
    const cell = cellNamed("rnn-tanh", 1, { inputSize: I, hiddenSize: H });
    const twice = workOf([cell.graph.concat([cell.next, cell.next])]);
    expect(twice).toEqual(workOf([cell.next]));
  });

  it("knows what is static", () => {
    const cell = defineCell({
      name: "static",
      inputSize: 0,
      state: { a: 2 },
      weights: { w: { shape: [2], data: Float32Array.of(1, 2) } },
      step: ({ a }, _, { w }) => ({ a: multiply(a, concat(slice(w, 1, 1), slice(w, 0, 1))) }),
    });
    expect(cellWork(cell).step).toMatchObject({ pointwise: 2, instructions: 1 });
  });
});
