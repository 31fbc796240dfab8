/** What the caller's thread and a worker thread send each other. */

/** What is to be done, and whatever it needs that can be cloned. */
export interface Request {
  readonly task: string;
}

/** Answers come in the order of the requests, so that neither needs a number. Either is there. */
export interface Answer {
  readonly reply?: object;
  readonly error?: SentError;
}

/** What a handler threw. */
export interface SentError {
  readonly name: string;
  readonly message: string;
}

/** The first request: to instantiate the kernels. */
export interface StartRequest extends Request {
  readonly task: "start";
  readonly module: WebAssembly.Module;
}

export interface StartReply {
  /** Of the worker's program: it must be the one that the caller's thread knows. */
  readonly build: string;
}
