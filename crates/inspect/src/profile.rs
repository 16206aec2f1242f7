//! Where the time of a program goes.

use bespoke_runtime::{Executable, RunError};
use bespoke_tensor::Tensor;

/// The median time of each launch in microseconds over a number of runs, with what it reaches: a line each, in the order in
/// which they run. States advance with every run.
///
/// # Errors
/// [`RunError`] if the inputs do not fit.
pub fn profile(
    program: &mut Executable,
    inputs: &[(&str, &Tensor)],
    runs: usize,
) -> Result<String, RunError> {
    let runs = (0..runs.max(1)).map(|_| program.profile(inputs)).collect::<Result<Vec<_>, _>>()?;
    let mut text = String::from("microseconds by kernel:\n");
    for (i, launch) in program.program().launches.iter().enumerate() {
        let mut times: Vec<f64> = runs.iter().map(|r| r[i].1.as_secs_f64() * 1e6).collect();
        times.sort_by(f64::total_cmp);
        let time = times[times.len() / 2];
        let (gflop, gb) = (launch.flop / time / 1e3, launch.bytes / time / 1e3);
        text.push_str(&format!("{time:10.1}  {gflop:7.1} GFLOP/s  {gb:7.1} GB/s  {}\n", launch.name()));
    }
    Ok(text)
}
