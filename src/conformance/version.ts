/** Version of the golden vectors: another one, other numbers. */
export const CONFORMANCE_VERSION = 1;
