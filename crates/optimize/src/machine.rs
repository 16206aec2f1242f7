//! How fast a machine is, for the cost model.

/// The speeds of one core. They are whole numbers, so that configurations can be compared and hashed.
///
/// ```
/// use bespoke_optimize::{Config, Machine};
///
/// // A machine with half the bandwidth.
/// let slow = Machine { memory: Machine::fixed().memory / 2, ..Machine::fixed() };
/// assert_ne!(Config { machine: slow, ..Config::default() }, Config::default());
/// assert_eq!(slow.speeds().map(|s| s.0), Machine::SPEEDS.map(|s| s.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    /// Large dots in f32 (and whole numbers), in MFLOP/s.
    pub dot_f32: u32,
    /// Large dots in f64, in MFLOP/s.
    pub dot_f64: u32,
    /// Convolutions in f32, in MFLOP/s; those in f64 are slower by as much as dots are.
    pub convolution: u32,
    /// Sums, products and comparisons of elements, in millions a second.
    pub elementwise: u32,
    /// Functions such as exp, in millions of elements a second.
    pub function: u32,
    /// Sums along an axis, in millions of elements a second.
    pub reduction: u32,
    /// Bytes read and written where they fit the caches, in MB/s.
    pub cache: u32,
    /// Bytes read and written where they do not, in MB/s.
    pub memory: u32,
    /// What fits the caches, in kB.
    pub cache_size: u32,
    /// The start of a kernel, in ns.
    pub launch: u32,
}

impl Machine {
    /// The speeds by name, with their units and what they are of: the order of [`Machine::speeds`].
    pub const SPEEDS: [(&str, &str, &str); 10] = [
        ("dot_f32", "MFLOP/s", "dots in f32"),
        ("dot_f64", "MFLOP/s", "dots in f64"),
        ("convolution", "MFLOP/s", "convolutions in f32"),
        ("elementwise", "M/s", "sums and products of elements"),
        ("function", "M/s", "functions such as exp"),
        ("reduction", "M/s", "elements summed"),
        ("cache", "MB/s", "bytes within the caches"),
        ("memory", "MB/s", "bytes beyond them"),
        ("cache_size", "kB", "the caches"),
        ("launch", "ns", "the start of a kernel"),
    ];

    /// A machine of no place: a core of a server with vectors of 128 bits. Decisions made for it are the same everywhere.
    pub const fn fixed() -> Machine {
        Machine {
            dot_f32: 32_000,
            dot_f64: 16_000,
            convolution: 32_000,
            elementwise: 8_000,
            function: 400,
            reduction: 8_000,
            cache: 16_000,
            memory: 8_000,
            cache_size: 16_000,
            launch: 300,
        }
    }

    /// The speeds by name, in the order of [`Machine::SPEEDS`].
    pub fn speeds(&self) -> [(&'static str, u32); 10] {
        let Machine { dot_f32, dot_f64, convolution, elementwise, function, .. } = *self;
        let Machine { reduction, cache, memory, cache_size, launch, .. } = *self;
        let values = [
            dot_f32,
            dot_f64,
            convolution,
            elementwise,
            function,
            reduction,
            cache,
            memory,
            cache_size,
            launch,
        ];
        std::array::from_fn(|i| (Machine::SPEEDS[i].0, values[i]))
    }

    /// The machine of these speeds, by name. None if one is missing, or 0.
    pub fn from_speeds(speed: impl Fn(&str) -> Option<u32>) -> Option<Machine> {
        let speed = |name: &str| speed(name).filter(|&s| s > 0);
        Some(Machine {
            dot_f32: speed("dot_f32")?,
            dot_f64: speed("dot_f64")?,
            convolution: speed("convolution")?,
            elementwise: speed("elementwise")?,
            function: speed("function")?,
            reduction: speed("reduction")?,
            cache: speed("cache")?,
            memory: speed("memory")?,
            cache_size: speed("cache_size")?,
            launch: speed("launch")?,
        })
    }
}

impl Default for Machine {
    fn default() -> Machine {
        Machine::fixed()
    }
}
