// P_k where each element of the state is a unit of its own.

fn product_of(k: u32) -> f32 {
//#if NONE
  return 0.0;
//#else
//#if PRODUCTS
  let p = products[k * STATE_SIZE + unit];
  return scaled(select(1.0, p, is_finite(p)));
//#else
  return scaled(1.0);
//#end
//#end
}
