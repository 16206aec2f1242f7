//! Small real data sets that come along. Their credits stand beside the files, in `assets`.

use crate::{Csv, TensorDataset, text};

/// Fisher's irises: 150 flowers, fields `x`, `f32[4]` (sepal length and width, petal length and width in cm), `label` (0 setosa,
/// 1 versicolor, 2 virginica) and `missing`, where nothing is. They are in order of class: shuffle, or partition by strata.
///
/// ```
/// use bespoke_data::{Dataset, iris_bundled};
///
/// assert_eq!(iris_bundled().class_counts(), Some(vec![50, 50, 50]));
/// ```
pub fn iris_bundled() -> TensorDataset {
    let table = Csv::new().label("label").read_from(&include_bytes!("../assets/iris/iris.csv")[..], "iris");
    table.expect("the bundled file is whole").data
}

/// The yearly numbers of sunspots, 1700 to 2008: fields `year` and `spots`, `f32`.
///
/// ```
/// use bespoke_data::{Dataset, sunspots_bundled};
///
/// let sunspots = sunspots_bundled();
/// assert_eq!((sunspots.len(), sunspots.field("spots").unwrap().view::<f32>()?[0]), (309, 5.0));
/// # Ok::<(), bespoke_data::DataError>(())
/// ```
pub fn sunspots_bundled() -> TensorDataset {
    let bytes = &include_bytes!("../assets/sunspots/sunspots-yearly.csv")[..];
    let column = |target: &str| {
        let table =
            Csv::new().target(target).read_from(bytes, "sunspots").expect("the bundled file is whole");
        let values = table.data.field("target").expect("it was asked for").clone();
        values.reshape([values.elements()]).expect("one column")
    };
    let fields = [("year", column("YEAR")), ("spots", column("SUNACTIVITY"))];
    TensorDataset::new("sunspots", fields).expect("as many years as numbers")
}

/// 199 kB of Shakespeare in plain ASCII: Hamlet and the beginning of Romeo and Juliet.
///
/// ```
/// assert!(bespoke_data::shakespeare_bundled().contains("To be, or not to be"));
/// ```
pub fn shakespeare_bundled() -> &'static str {
    include_str!("../assets/shakespeare/shakespeare.txt")
}

/// 285 English messages of a program, and their Polish translations.
///
/// ```
/// let pairs = bespoke_data::pairs_bundled();
/// assert!(pairs.contains(&("Confirm password:".to_owned(), "Potwierdź hasło:".to_owned())));
/// ```
pub fn pairs_bundled() -> Vec<(String, String)> {
    text::parse_pairs(include_str!("../assets/pairs/en-pl.tsv")).expect("the bundled file is whole")
}
