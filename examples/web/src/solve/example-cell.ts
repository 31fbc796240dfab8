/** What a visitor starts from, and may use, when writing a cell. */
import type * as antler from "antler";

export const EXAMPLE_CELL = `// A leaky unit whose gate listens to its neighbour.
// Everything of Antler's vocabulary is in scope, and
//   hiddenSize, inputSize: from the form;
//   weight(rows, columns), weight(length): seeded random numbers.
return defineCell({
  name: "my-cell",
  inputSize,
  state: { h: { size: hiddenSize, bounds: [-1, 1] } },
  weights: {
    w: weight(hiddenSize, hiddenSize),
    u: weight(hiddenSize, inputSize),
    b: weight(hiddenSize),
  },
  step: ({ h }, x, { w, u, b }) => {
    const candidate = tanh(add(linear(w, h), linear(u, x), b));
    const gate = sigmoid(add(shift(h, 1), 1));
    return { h: add(h, multiply(0.5, gate, subtract(candidate, h))) };
  },
});
`;

/** What the code can name without importing it. */
export const VOCABULARY = [
  "defineCell",
  ...["linear", "add", "subtract", "multiply", "divide", "negate"],
  ...["tanh", "sigmoid", "relu", "exp", "log", "softplus", "sin", "cos", "sqrt"],
  ...["minimum", "maximum", "greater", "where"],
  ...["concat", "slice", "split", "shift"],
] as const satisfies readonly (keyof typeof antler)[];
