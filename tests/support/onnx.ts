/**
 * One-node ONNX models of recurrent layers, built from weights with PyTorch's names, shapes and
 * gate order, so that an outside runtime can evaluate what our cells evaluate.
 * Operators: https://onnx.ai/onnx/operators/ (GRU, LSTM, RNN of opset 14).
 *
 * Every model is float32, one layer in one direction, with any number of steps T and sequences B:
 *
 *     X [T,B,I], initial_h [1,B,H] (LSTM: initial_c [1,B,H])
 *     → Y [T,1,B,H], Y_h [1,B,H] (LSTM: Y_c [1,B,H])
 *
 * Y holds every hidden state h; of an LSTM's cell states ONNX returns only the last.
 */
// CommonJS: the values come by the default import, the types by name.
import onnxProto, { type onnx as Proto } from "onnx-proto";

const { onnx } = onnxProto;

export type Direction = "forward" | "reverse";

interface LayerOptions {
  /** I. */
  readonly inputSize: number;
  /** H. */
  readonly hiddenSize: number;
  /**
   * weight_ih [G·H,I], weight_hh [G·H,H], bias_ih [G·H], bias_hh [G·H], flat and row-major, for the
   * operator's G gates.
   */
  readonly weights: Readonly<Record<string, ArrayLike<number>>>;
  /** "reverse" runs from the last row of X to the first; row t of Y still belongs to row t of X. */
  readonly direction?: Direction;
}

export interface OnnxModel {
  readonly operator: "GRU" | "LSTM" | "RNN";
  readonly inputSize: number;
  readonly hiddenSize: number;
  /** The encoded ModelProto. */
  readonly bytes: Uint8Array;
}

/**
 * A GRU; gates in the order r, z, n.
 *
 *     r = σ(W_r x + U_r h + b),  z = σ(W_z x + U_z h + b),  h' = (1 − z) ⊙ n + z ⊙ h
 *     reset-after:   n = tanh(W_n x + b_in + r ⊙ (U_n h + b_hn))
 *     reset-before:  n = tanh(W_n x + b_in + U_n (r ⊙ h) + b_hn)
 */
export function gruModel(
  options: LayerOptions & { readonly variant: "reset-after" | "reset-before" },
): OnnxModel {
  return layerModel("GRU", options, "rzn", "zrn", [
    integerAttribute("linear_before_reset", options.variant === "reset-after" ? 1 : 0),
  ]);
}

/**
 * An LSTM; gates in the order i, f, g, o.
 *
 * - "plain": PyTorch's.
 * - "peephole": peephole_i, peephole_f [H] times the old cell state and peephole_o [H] times the new
 *   one are added inside the gates.
 * - "coupled": f = 1 − i. The rows of f are there and are not used.
 */
export function lstmModel(
  options: LayerOptions & { readonly variant: "plain" | "peephole" | "coupled" },
): OnnxModel {
  const { variant, hiddenSize } = options;
  const peepholes =
    variant === "peephole"
      ? ["peephole_i", "peephole_o", "peephole_f"].map((name) => weight(options, name, hiddenSize))
      : null;
  return layerModel(
    "LSTM",
    options,
    "ifgo",
    "iofg",
    [integerAttribute("input_forget", variant === "coupled" ? 1 : 0)],
    peepholes,
  );
}

/** An Elman RNN: h' = tanh or relu of W x + b_ih + U h + b_hh. */
export function rnnModel(
  options: LayerOptions & { readonly nonlinearity: "tanh" | "relu" },
): OnnxModel {
  const activation = options.nonlinearity === "tanh" ? "Tanh" : "Relu";
  return layerModel("RNN", options, "h", "h", [
    {
      name: "activations",
      type: onnx.AttributeProto.AttributeType.STRINGS,
      strings: [new TextEncoder().encode(activation)],
    },
  ]);
}

/**
 * `order` and `onnxOrder` spell the gates, one letter each, in the order of the rows of the weights
 * given and of the weights that the operator takes.
 */
function layerModel(
  operator: OnnxModel["operator"],
  options: LayerOptions,
  order: string,
  onnxOrder: string,
  attributes: Proto.IAttributeProto[],
  peepholes: Float32Array[] | null = null,
): OnnxModel {
  const { inputSize, hiddenSize, direction = "forward" } = options;
  const rows = order.length * hiddenSize;
  const gates = (name: string, columns: number): Float32Array => {
    const data = weight(options, name, rows * columns);
    const block = hiddenSize * columns;
    return concatenate(
      [...onnxOrder].map((gate) => {
        const start = order.indexOf(gate) * block;
        return data.subarray(start, start + block);
      }),
    );
  };

  const initializers = [
    tensor("W", [1, rows, inputSize], gates("weight_ih", inputSize)),
    tensor("R", [1, rows, hiddenSize], gates("weight_hh", hiddenSize)),
    tensor("B", [1, 2 * rows], concatenate([gates("bias_ih", 1), gates("bias_hh", 1)])),
  ];
  const hasCell = operator === "LSTM";
  // An empty name leaves an optional input out; the fifth would be the lengths of the sequences.
  const nodeInputs = ["X", "W", "R", "B", "", "initial_h"];
  const nodeOutputs = ["Y", "Y_h"];
  const state = [1, "B", hiddenSize];
  const graphInputs = [value("X", ["T", "B", inputSize]), value("initial_h", state)];
  const graphOutputs = [value("Y", ["T", 1, "B", hiddenSize]), value("Y_h", state)];
  if (hasCell) {
    nodeInputs.push("initial_c");
    nodeOutputs.push("Y_c");
    graphInputs.push(value("initial_c", state));
    graphOutputs.push(value("Y_c", state));
  }
  if (peepholes !== null) {
    nodeInputs.push("P");
    initializers.push(tensor("P", [1, 3 * hiddenSize], concatenate(peepholes)));
  }

  const model = onnx.ModelProto.create({
    irVersion: 7,
    opsetImport: [{ domain: "", version: 14 }],
    producerName: "antler-tests",
    graph: {
      name: operator,
      node: [
        {
          opType: operator,
          input: nodeInputs,
          output: nodeOutputs,
          attribute: [
            integerAttribute("hidden_size", hiddenSize),
            {
              name: "direction",
              type: onnx.AttributeProto.AttributeType.STRING,
              s: new TextEncoder().encode(direction),
            },
            ...attributes,
          ],
        },
      ],
      initializer: initializers,
      input: graphInputs,
      output: graphOutputs,
    },
  });
  return { operator, inputSize, hiddenSize, bytes: onnx.ModelProto.encode(model).finish() };
}

/** The weight called `name`, of `length` numbers. */
function weight(options: LayerOptions, name: string, length: number): Float32Array {
  const data = options.weights[name];
  if (data?.length !== length) {
    throw new RangeError(
      `weights.${name}: expected ${length} numbers, got ${data?.length ?? "none"}`,
    );
  }
  return Float32Array.from(data);
}

function concatenate(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

function tensor(name: string, dims: number[], data: Float32Array): Proto.ITensorProto {
  return {
    name,
    dims,
    dataType: onnx.TensorProto.DataType.FLOAT,
    rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  };
}

/** A float32 input or output of the graph; a letter names a size known only when it runs. */
function value(name: string, shape: readonly (number | string)[]): Proto.IValueInfoProto {
  const dim = shape.map((extent) =>
    typeof extent === "string" ? { dimParam: extent } : { dimValue: extent },
  );
  return {
    name,
    type: { tensorType: { elemType: onnx.TensorProto.DataType.FLOAT, shape: { dim } } },
  };
}

function integerAttribute(name: string, i: number): Proto.IAttributeProto {
  return { name, type: onnx.AttributeProto.AttributeType.INT, i };
}
