//! W11 in the plain crates for matrix products. MATMUL_NUM_THREADS says the number of matrixmultiply's threads.

use peer_bench::{measure, report_us, threads};

fn main() {
    let n = threads();
    let square = [32, 64, 128, 256, 512, 1024, 2048].map(|s| (s, s, s));
    for (m, n_, k) in square.into_iter().chain([(128, 512, 784), (32, 1024, 256), (1, 1024, 1024)]) {
        let (a, b) = (vec![0.5f32; m * k], vec![0.25f32; k * n_]);
        let mut c = vec![0f32; m * n_];
        let name = format!("W11-{m}x{k}x{n_}");
        let parallel = if n > 1 { gemm::Parallelism::Rayon(n) } else { gemm::Parallelism::None };
        let (m, k, n_) = (m as isize, k as isize, n_ as isize);
        report_us(
            "gemm",
            &name,
            measure(1.0, || unsafe {
                // SAFETY: row-major strides over buffers of m*k, k*n and m*n elements.
                gemm::gemm(
                    m as usize,
                    n_ as usize,
                    k as usize,
                    c.as_mut_ptr(),
                    1,
                    n_,
                    false,
                    a.as_ptr(),
                    1,
                    k,
                    b.as_ptr(),
                    1,
                    n_,
                    0.0,
                    1.0,
                    false,
                    false,
                    false,
                    parallel,
                )
            }),
        );
        report_us(
            "matrixmultiply",
            &name,
            measure(1.0, || unsafe {
                // SAFETY: as above.
                matrixmultiply::sgemm(
                    m as usize,
                    k as usize,
                    n_ as usize,
                    1.0,
                    a.as_ptr(),
                    k,
                    1,
                    b.as_ptr(),
                    n_,
                    1,
                    0.0,
                    c.as_mut_ptr(),
                    n_,
                    1,
                )
            }),
        );
    }
}
