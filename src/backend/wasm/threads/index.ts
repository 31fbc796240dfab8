/** What is loaded where threads may do some of the work. */
export { Crew } from "./crew.ts";
