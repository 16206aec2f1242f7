//! What the formulas shared by `f32` and `f64` need to know of the type.

use bespoke_tensor::DType;

/// Constants of a floating-point type.
pub(super) struct Format {
    /// The bits of the mantissa.
    pub shift: i32,
    /// The bits of the exponent of 1.
    pub bias: i32,
    /// 1.5·2^shift: the sum with a small number is that number, rounded to an integer, in the low bits of the mantissa.
    pub rounding: f64,
    /// The upper part of ln 2 with so few bits that products with exponents are exact.
    pub ln2_hi: f64,
    /// ln 2 − `ln2_hi` > 0.
    pub ln2_lo: f64,
    /// Above, eˣ and e⁻ˣ are infinite and 0.
    pub exp_limits: (f64, f64),
    /// Below, eˣ − 1 is −1 in effect.
    pub expm1_least: f64,
    /// From here on tanh is 1.
    pub tanh_limit: f64,
    /// Below, sinh-like functions are their argument.
    pub tiny: f64,
    /// The least normal number.
    pub min_positive: f64,
    /// 2 to this power makes a denormal number normal.
    pub denormal_bits: i32,
    /// The bits of √½.
    pub sqrt_half_bits: i64,
    /// (eʳ − 1 − r) / r² for |r| ≤ ln 2.
    pub exp_wide: &'static [f64],
    /// (eʳ − 1 − r) / r² for |r| ≤ ln 2 / 2.
    pub exp_tail: &'static [f64],
    /// (log(1 + f) − f + f² / 2) / f³, 1 + f from √½ to √2.
    pub log_tail: &'static [f64],
    /// (tanh(x) / x − 1) / x² of x², |x| ≤ 0.6.
    pub tanh_tail: &'static [f64],
    /// Above, sinh and cosh are infinite.
    pub sinh_limit: f64,
    /// sinh(r) / r of r², |r| ≤ ln 2 / 2; for `f64` computation.
    pub sinh: &'static [f64],
    /// (cosh(r) − 1) / r² of r², |r| ≤ ln 2 / 2; for `f64` computation.
    pub cosh: &'static [f64],
}

impl Format {
    /// Of `f32` or `f64`.
    pub(super) fn of(dtype: DType) -> &'static Format {
        match dtype {
            DType::F32 => &SINGLE,
            DType::F64 => &DOUBLE,
            other => panic!("an elementary function expects f32 or f64, got {other}"),
        }
    }
}

/// Of `f32`.
pub(super) static SINGLE: Format = Format {
    shift: 23,
    bias: 127,
    rounding: 12582912.0,
    ln2_hi: 0.693145751953125,
    ln2_lo: 1.42860682031e-6,
    exp_limits: (89.0, -105.0),
    expm1_least: -18.0,
    tanh_limit: 10.0,
    tiny: 1e-10,
    min_positive: f32::MIN_POSITIVE as f64,
    denormal_bits: 26,
    sqrt_half_bits: 0x3f35_04f3,
    exp_wide: &[0.500000358, 0.166666165, 0.0416612029, 0.00833596569, 0.00141053472, 0.000196303125],
    exp_tail: &[0.5, 0.166665435, 0.0416664295, 0.00836655498, 0.00139382691],
    log_tail: &[0.333338588, -0.250017405, 0.199653596, -0.165658474, 0.148776233, -0.143486038, 0.089137733],
    tanh_tail: &[-0.333332986, 0.133319378, -0.0537848324, 0.02079878, -0.00589776644],
    sinh_limit: 89.5,
    sinh: &[0.9999999999954705, 0.16666666787065557, 0.008333283330879376, 0.0001990770669305176],
    cosh: &[0.49999999999954725, 0.041666666787016214, 0.0013888838904202421, 2.4868006741243373e-05],
};

/// Of `f64`. The parts of ln 2 are fdlibm's.
pub(super) static DOUBLE: Format = Format {
    shift: 52,
    bias: 1023,
    rounding: 6755399441055744.0,
    ln2_hi: 6.931_471_803_691_238e-1,
    ln2_lo: 1.908_214_929_270_587_7e-10,
    exp_limits: (710.0, -746.0),
    expm1_least: -38.0,
    tanh_limit: 22.0,
    tiny: 1e-20,
    min_positive: f64::MIN_POSITIVE,
    denormal_bits: 55,
    sqrt_half_bits: 0x3fe6_a09e_667f_3bcd,
    exp_wide: &[
        0.4999999999999993,
        0.16666666666666938,
        0.04166666666670203,
        0.008333333333269858,
        0.0013888888883583496,
        0.0001984126989284247,
        2.4801590826878028e-05,
        2.755730061924955e-06,
        2.755615868901717e-07,
        2.505504045371075e-08,
        2.1062281563595146e-09,
        1.593501813460009e-10,
    ],
    exp_tail: &[
        0.5000000000000006,
        0.16666666666666682,
        0.04166666666657246,
        0.008333333333316798,
        0.00138888889327333,
        0.00019841269898133177,
        2.48015040316433e-05,
        2.7557232399979296e-06,
        2.762648975059554e-07,
        2.5113050502582043e-08,
    ],
    log_tail: &[
        0.3333333333333325,
        -0.24999999999987574,
        0.20000000000026755,
        -0.166666666698966,
        0.14285714285007803,
        -0.12499999688857161,
        0.11111110859095885,
        -0.10000015091925424,
        0.09090933209717172,
        -0.08332924187084079,
        0.07691358384362516,
        -0.07149127881366835,
        0.06686358277425153,
        -0.06201154368395848,
        0.05659743613510616,
        -0.056457468580098646,
        0.06508287868639241,
        -0.06073156898632849,
        0.026915301024299995,
    ],
    tanh_tail: &[
        -0.33333333333333126,
        0.13333333333300032,
        -0.053968253949437245,
        0.02186948800512612,
        -0.008863226802021703,
        0.003592037502985451,
        -0.001455215601580073,
        0.0005871878249598785,
        -0.00023039271916316557,
        7.93057523502735e-05,
        -1.71728507006954e-05,
    ],
    sinh_limit: 711.0,
    sinh: &[
        1.0,
        0.16666666666666666,
        0.008333333333333337,
        0.00019841269841251385,
        2.7557319267793907e-06,
        2.5052055009245122e-08,
        1.6091287379694128e-10,
    ],
    cosh: &[
        0.5,
        0.041666666666666664,
        0.0013888888888888892,
        2.480158730157577e-05,
        2.755731925136149e-07,
        2.087672363249439e-09,
        1.149089567113456e-11,
    ],
};
