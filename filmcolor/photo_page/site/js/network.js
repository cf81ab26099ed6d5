// The network, run by onnxruntime-web in WebAssembly.

import * as ort from "../ort/ort.wasm.min.js";

const MAX_THREADS = 4; // more cores of a phone are slow ones

/** How many threads the network may use: one where memory cannot be shared between them. */
export function numThreads() {
  if (!globalThis.crossOriginIsolated) return 1;
  return Math.max(1, Math.min(MAX_THREADS, navigator.hardwareConcurrency || 1));
}

/** A network that is ready to run. */
export class Network {
  /** @param {object} session */
  constructor(session) {
    this.session = session;
  }

  /**
   * Return a network.
   *
   * @param {Uint8Array} bytes an ONNX file
   * @param {Uint8Array} runtime onnxruntime-web's WebAssembly
   */
  static async open(bytes, runtime) {
    ort.env.logLevel = "error";
    ort.env.wasm.numThreads = numThreads();
    ort.env.wasm.wasmBinary = runtime;
    const module = new URL("../ort/ort-wasm-simd-threaded.js", import.meta.url);
    ort.env.wasm.wasmPaths = { mjs: module.href };
    const session = await ort.InferenceSession.create(bytes, {
      executionProviders: ["wasm"],
      graphOptimizationLevel: "all",
      enableCpuMemArena: false, // it would keep the memory of the largest picture
      enableMemPattern: false,
    });
    ort.env.wasm.wasmBinary = undefined; // 14 MB
    return new Network(session);
  }

  /**
   * Return the network's output for luma (height × width), 0 to 1.
   *
   * @param {Float32Array} luma
   * @param {number} width
   * @param {number} height
   * @returns {Promise<{logits: Float32Array, values: Float32Array}>}
   */
  async run(luma, width, height) {
    const input = new ort.Tensor("float32", luma, [1, 1, height, width]);
    const { logits, values } = await this.session.run({ luma: input }, ["logits", "values"]);
    return { logits: await logits.getData(true), values: await values.getData(true) };
  }
}
