/**
 * Takes Silero VAD apart where the state enters: everything before the LSTM becomes a graph of its own,
 * and the LSTM and the output layer become plain arrays. Runs in browsers too.
 */
import onnxProto from "onnx-proto";

const { GraphProto, ModelProto, TensorProto } = onnxProto.onnx;
type Graph = onnxProto.onnx.IGraphProto;
type Node = onnxProto.onnx.INodeProto;
type Tensor = onnxProto.onnx.ITensorProto;

const LSTM_PREFIX = "model.decoder.rnn.";
const HEAD_PREFIX = "model.decoder.decoder.2.";

/** Width of the LSTM's input and of its hidden state. */
export const HIDDEN_SIZE = 128;

/** The weights of the LSTM, under PyTorch's names, gate rows i, f, g, o. */
export interface LstmWeights {
  /** `[512, 128]` */
  weight_ih: Float32Array;
  /** `[512, 128]` */
  weight_hh: Float32Array;
  /** `[512]` */
  bias_ih: Float32Array;
  /** `[512]` */
  bias_hh: Float32Array;
}

/** p = sigmoid(weight · relu(h) + bias). */
export interface Head {
  /** `[128]` */
  weight: Float32Array;
  bias: number;
}

export interface SileroModel {
  /** The file that the model came from. */
  readonly path: string;
  readonly lstm: LstmWeights;
  readonly head: Head;
  /** An ONNX file of its own: `input` [batch, 576] samples to `encoderOutput` [batch, 128]. */
  readonly encoder: Uint8Array;
  readonly encoderOutput: string;
}

/**
 * Cuts the 16 kHz model in two.
 * @param bytes the ONNX file.
 * @param path where it came from, to be told.
 * @throws {Error} when it is not the graph that this example knows.
 */
export function cutSilero(bytes: Uint8Array, path: string): SileroModel {
  const model = ModelProto.decode(bytes);
  const outer = GraphProto.create(model.graph ?? {});
  const inner = branchFor16kHz(outer);
  const tensors = new Map<string, Tensor>();
  for (const tensor of [...outer.initializer, ...(inner.initializer ?? [])]) {
    tensors.set(tensor.name ?? "", tensor);
  }
  const weights = (name: string, ...shape: number[]) => floatTensor(tensors, name, shape);
  const lstm: LstmWeights = {
    weight_ih: weights(`${LSTM_PREFIX}weight_ih`, 4 * HIDDEN_SIZE, HIDDEN_SIZE),
    weight_hh: weights(`${LSTM_PREFIX}weight_hh`, 4 * HIDDEN_SIZE, HIDDEN_SIZE),
    bias_ih: weights(`${LSTM_PREFIX}bias_ih`, 4 * HIDDEN_SIZE),
    bias_hh: weights(`${LSTM_PREFIX}bias_hh`, 4 * HIDDEN_SIZE),
  };
  const head: Head = {
    weight: weights(`${HEAD_PREFIX}weight`, 1, HIDDEN_SIZE, 1),
    bias: weights(`${HEAD_PREFIX}bias`, 1)[0],
  };
  const encoder = cutEncoder(model, outer, inner, tensors);
  return { path, lstm, head, encoder: encoder.bytes, encoderOutput: encoder.output };
}

/** The model holds an 8 kHz and a 16 kHz network behind one `If` on the sample rate. */
function branchFor16kHz(graph: Graph): Graph {
  const choice = (graph.node ?? []).find((node) => node.opType === "If");
  const branch = choice?.attribute?.find((attribute) => attribute.name === "then_branch")?.g;
  if (!branch) throw new Error("Silero: expected an If over the sample rate, found none");
  return branch;
}

/** The nodes that the LSTM's input depends on, as a model of their own. */
function cutEncoder(
  model: onnxProto.onnx.ModelProto,
  outer: Graph,
  inner: Graph,
  tensors: Map<string, Tensor>,
): { bytes: Uint8Array; output: string } {
  const nodes = inner.node ?? [];
  const inputLayer = nodes.find((node) => node.input?.includes(`${LSTM_PREFIX}weight_ih`));
  const output = inputLayer?.input?.[0];
  if (!output) throw new Error("Silero: found no node that uses the LSTM's weight_ih");

  const producers = new Map<string, Node>();
  for (const node of nodes) for (const name of node.output ?? []) producers.set(name, node);
  const needed = new Set<Node>();
  const constants = new Set<Tensor>();
  const wanted = [output];
  for (let name = wanted.pop(); name !== undefined; name = wanted.pop()) {
    const producer = producers.get(name);
    const constant = tensors.get(name);
    if (producer && !needed.has(producer)) {
      needed.add(producer);
      wanted.push(...(producer.input ?? []));
    } else if (constant) {
      constants.add(constant);
    } else if (!producer && name !== "" && name !== "input") {
      throw new Error(`Silero: the encoder was expected to read only "input", it reads "${name}"`);
    }
  }

  const input = (outer.input ?? []).filter((value) => value.name === "input");
  const batch = input[0]?.type?.tensorType?.shape?.dim?.[0] ?? { dimParam: "batch" };
  const elemType = TensorProto.DataType.FLOAT;
  const shape = { dim: [batch, { dimValue: HIDDEN_SIZE }] };
  const encoder = ModelProto.create({
    irVersion: model.irVersion,
    opsetImport: model.opsetImport,
    graph: {
      name: "silero-encoder",
      // The file lists its nodes in an order in which they can run; filtering keeps that order.
      node: nodes.filter((node) => needed.has(node)),
      initializer: [...constants],
      input,
      output: [{ name: output, type: { tensorType: { elemType, shape } } }],
    },
  });
  return { bytes: ModelProto.encode(encoder).finish(), output };
}

/** A float32 initializer, checked to have `shape`. */
function floatTensor(tensors: Map<string, Tensor>, name: string, shape: number[]): Float32Array {
  const tensor = tensors.get(name);
  if (!tensor) throw new Error(`Silero: tensor ${name} is missing`);
  const actual = (tensor.dims ?? []).map(Number);
  const length = shape.reduce((product, size) => product * size, 1);
  if (actual.join() !== shape.join()) {
    throw new Error(`Silero: ${name}: expected shape [${shape}], got [${actual}]`);
  }
  const bytes = tensor.rawData;
  if (tensor.dataType !== TensorProto.DataType.FLOAT || bytes?.length !== 4 * length) {
    throw new Error(`Silero: ${name}: expected ${length} raw float32 numbers`);
  }
  // The file is little-endian whatever the machine, and the bytes need not lie on a multiple of 4.
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float32Array.from({ length }, (_, index) => view.getFloat32(4 * index, true));
}
