// The monoid that the flags name, and what runs it.
//#import shared/boundary.wgsl
//#if DENSE
//#if DAMPED
//#import monoids/kalman_dense.wgsl
//#else
//#import monoids/affine_dense.wgsl
//#end
//#else
//#if BLOCK
//#if DAMPED
//#import monoids/kalman_block.wgsl
//#else
//#import monoids/affine_block.wgsl
//#end
//#else
//#if DAMPED
//#import monoids/kalman_scalar.wgsl
//#else
//#import monoids/affine_diagonal.wgsl
//#end
//#end
//#import shared/scan_thread.wgsl
//#end
