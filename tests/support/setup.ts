/**
 * One seed for all property tests, so that a run is repeatable and a failure is news. Other seeds are
 * worth a try now and then: ANTLER_TEST_SEED=7 npm test.
 */
import fc from "fast-check";

fc.configureGlobal({ seed: Number(process.env.ANTLER_TEST_SEED ?? 20261123) });
