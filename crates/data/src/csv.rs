//! Tables in CSV.

use std::{collections::BTreeSet, fs::File, io::Read, path::Path};

use bespoke_tensor::Tensor;

use crate::{DataError, TensorDataset};

/// How a CSV file is read: what its columns hold, and what is to be learned.
///
/// Columns are numbers unless said otherwise. They become the field `x`, `f32[columns]`, in the file's order; each column of
/// categories becomes a field of its own name, `i32`; then comes what is to be learned, `label` (a class, `i32`) or `target`
/// (`f32[columns]`); last `missing`, `bool[columns of x]`, which says where `x` is NaN because nothing was there.
///
/// ```
/// use bespoke_data::{Csv, Dataset};
///
/// let text = "height,colour,name\n1.5,red,rose\n,white,rose\n0.9,red,poppy\n";
/// let table = Csv::new().category("colour").category("name").label("name").read_from(text.as_bytes(), "flowers")?;
/// assert_eq!(table.columns, ["height"]);
/// assert_eq!(table.categories("name").unwrap(), ["poppy", "rose"]);
/// let fields: Vec<String> = table.data.fields().iter().map(|f| format!("{} {}", f.name, f.ty)).collect();
/// assert_eq!(fields, ["x f32[1]", "colour i32[]", "label i32[]", "missing bool[1]"]);
/// assert_eq!(table.data.field("label").unwrap().view::<i32>()?, [1, 1, 0]);
/// assert_eq!(table.data.field("missing").unwrap().view::<bool>()?, [false, true, false]);
///
/// let error = Csv::new().read_from("a,b\n1,2\n3,x\n".as_bytes(), "numbers").unwrap_err();
/// assert_eq!(error.to_string(), "numbers: line 3, column 2 (`b`): expected a number, got `x`; are these categories?");
/// # Ok::<(), bespoke_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Csv {
    header: bool,
    delimiter: u8,
    missing: Vec<String>,
    ignored: Vec<String>,
    /// Column and, where they are given, its categories.
    categories: Vec<(String, Option<Vec<String>>)>,
    label: Option<String>,
    label_last: bool,
    targets: Vec<String>,
}

/// What was read from a CSV file.
#[derive(Clone, Debug)]
pub struct Table {
    /// The rows.
    pub data: TensorDataset,
    /// The names of the columns of `x`.
    pub columns: Vec<String>,
    /// The names of each column of categories, by number.
    names: Vec<(String, Vec<String>)>,
    /// The column of the field `label`.
    label: Option<String>,
}

impl Table {
    /// The names of the categories of a column: number i is called the i-th.
    pub fn categories(&self, column: &str) -> Option<&[String]> {
        self.names.iter().find(|n| n.0 == column).map(|n| &n.1[..])
    }

    /// The names of the classes, if the column of the class has categories.
    pub fn class_names(&self) -> Option<&[String]> {
        self.categories(self.label.as_ref()?)
    }
}

impl Default for Csv {
    fn default() -> Csv {
        Csv::new()
    }
}

impl Csv {
    /// With a header line and commas; all columns are numbers to learn from. A cell is missing if it is empty or says NaN or NA.
    pub fn new() -> Csv {
        Csv {
            header: true,
            delimiter: b',',
            missing: ["", "nan", "na"].map(str::to_owned).to_vec(),
            ignored: vec![],
            categories: vec![],
            label: None,
            label_last: false,
            targets: vec![],
        }
    }

    /// Without a header line: columns are called `0`, `1`, …
    pub fn without_header(mut self) -> Csv {
        self.header = false;
        self
    }

    /// With another delimiter than a comma, such as `b';'` or `b'\t'`.
    pub fn delimiter(mut self, delimiter: u8) -> Csv {
        self.delimiter = delimiter;
        self
    }

    /// A further text that means that a cell is missing, such as `?`; upper and lower case are the same.
    pub fn missing(mut self, text: &str) -> Csv {
        self.missing.push(text.to_lowercase());
        self
    }

    /// Leaves a column out.
    pub fn ignore(mut self, column: &str) -> Csv {
        self.ignored.push(column.to_owned());
        self
    }

    /// A column of names, numbered in alphabetical order of those that occur. A missing one is called by the empty text.
    pub fn category(mut self, column: &str) -> Csv {
        self.categories.push((column.to_owned(), None));
        self
    }

    /// A column of these names, numbered in this order; others are errors. So files read apart agree.
    pub fn category_of(mut self, column: &str, names: &[&str]) -> Csv {
        let names = names.iter().map(|&n| n.to_owned()).collect();
        self.categories.push((column.to_owned(), Some(names)));
        self
    }

    /// The column of the class to learn: categories, or whole numbers from 0.
    pub fn label(mut self, column: &str) -> Csv {
        self.label = Some(column.to_owned());
        self
    }

    /// The last column is the class to learn, of files whose columns are not known before: whole numbers from 0, or else names,
    /// which are numbered as those of [`Csv::category`].
    ///
    /// A column of fractions, or one where more than half of the rows' values differ, is refused: it is more likely a number to
    /// predict.
    ///
    /// ```
    /// use bespoke_data::Csv;
    ///
    /// let flowers = "height,name\n1.5,rose\n0.9,poppy\n1.4,rose\n0.8,poppy\n";
    /// let table = Csv::new().label_last().read_from(flowers.as_bytes(), "flowers")?;
    /// assert_eq!(table.class_names().unwrap(), ["poppy", "rose"]);
    /// assert_eq!(table.data.field("label").unwrap().view::<i32>()?, [1, 0, 1, 0]);
    /// # Ok::<(), bespoke_data::DataError>(())
    /// ```
    pub fn label_last(mut self) -> Csv {
        self.label_last = true;
        self
    }

    /// A column of numbers to learn; several become one field. None may be missing.
    pub fn target(mut self, column: &str) -> Csv {
        self.targets.push(column.to_owned());
        self
    }

    /// Reads a file in UTF-8.
    ///
    /// # Errors
    /// [`DataError::File`] with line and column if it cannot be read or a cell is not what its column holds; with the columns
    /// that there are if one is missing; if there are no rows.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Table, DataError> {
        let path = path.as_ref();
        let name = path.file_stem().map_or(String::new(), |s| s.to_string_lossy().into_owned());
        let file = File::open(path).map_err(|e| DataError::file(path, e))?;
        self.table(file, &name).map_err(|reason| DataError::file(path, reason))
    }

    /// Reads a stream; `name` is the data set's and stands in errors.
    ///
    /// # Errors
    /// [`DataError::Stream`], for the reasons of [`Csv::read`].
    pub fn read_from(&self, reader: impl Read, name: &str) -> Result<Table, DataError> {
        self.table(reader, name).map_err(|reason| DataError::Stream(format!("{name}: {reason}")))
    }

    /// The table, or what is wrong.
    fn table(&self, reader: impl Read, name: &str) -> Result<Table, String> {
        let cells = self.cells(reader)?;
        match self.label_last {
            true => self.of_last(&cells)?.table_of(&cells, name),
            false => self.table_of(&cells, name),
        }
    }

    /// With the last column as label, of what its cells hold.
    fn of_last(&self, cells: &Cells) -> Result<Csv, String> {
        let Some((position, column)) = cells.header.iter().enumerate().next_back() else {
            return Err("there are no columns".to_owned());
        };
        let texts = cells.each(position, |cell| match self.is_missing(cell) {
            true => Err("the class is missing".to_owned()),
            false => Ok(cell.to_owned()),
        })?;
        let numbers: Option<Vec<f64>> =
            texts.iter().map(|text| text.parse().ok().filter(|n: &f64| n.is_finite())).collect();
        let fraction = numbers.iter().flatten().position(|number| number.fract() != 0.0);
        let different = texts.iter().collect::<BTreeSet<_>>().len();
        let looks = match (fraction, &numbers) {
            (Some(row), _) => format!("`{}` looks like a number to predict", texts[row]),
            (None, Some(_)) if different > texts.len() / 2 => {
                format!("{different} different values in {} rows look like a number to predict", texts.len())
            }
            (None, None) if different > texts.len() / 2 => {
                format!("there are {different} different values in {} rows", texts.len())
            }
            _ => {
                let csv = self.clone().label(column);
                let is_class = |n: &f64| (0.0..=1e6).contains(n);
                let named = self.categories.iter().any(|c| c.0 == *column);
                return Ok(match numbers.is_some_and(|n| n.iter().all(is_class)) || named {
                    true => csv,
                    false => csv.category(column),
                });
            }
        };
        let expected = "expected classes in the last column, whole numbers from 0 or names";
        Err(format!("column {} (`{column}`): {looks}; {expected}", position + 1))
    }

    /// The table of these cells.
    fn table_of(&self, cells: &Cells, name: &str) -> Result<Table, String> {
        for (i, column) in cells.header.iter().enumerate() {
            if cells.header[..i].contains(column) {
                return Err(format!("there are two columns `{column}`"));
            }
        }
        let named =
            self.categories.iter().map(|c| &c.0).chain(&self.ignored).chain(&self.label).chain(&self.targets);
        for column in named {
            cells.position(column)?;
        }
        if cells.rows.is_empty() {
            return Err("there are no rows".to_owned());
        }

        let (mut columns, mut numbers, mut names, mut fields) = (vec![], vec![], vec![], vec![]);
        for (position, column) in cells.header.iter().enumerate() {
            let category = self.categories.iter().find(|c| c.0 == *column);
            let learned = self.label.as_ref() == Some(column) || self.targets.contains(column);
            if let Some((_, given)) = category {
                let (known, codes) = self.codes(cells, position, given.as_deref())?;
                names.push((column.clone(), known));
                if !learned && !self.ignored.contains(column) {
                    fields.push((column.clone(), integers(&codes)?));
                }
            } else if !learned && !self.ignored.contains(column) {
                columns.push(column.clone());
                numbers.push(self.numbers(cells, position)?);
            }
        }
        let (x, missing) = transposed(&numbers, cells.rows.len())?;
        fields.insert(0, ("x".to_owned(), x));
        let mut classes = None;
        if let Some(label) = &self.label {
            let position = cells.position(label)?;
            let codes = match self.categories.iter().find(|c| c.0 == *label) {
                Some((_, given)) => self.codes(cells, position, given.as_deref())?.1,
                None => self.class_numbers(cells, position)?,
            };
            let known = names.iter().find(|n| n.0 == *label).map(|n| n.1.len());
            classes = Some(known.unwrap_or_else(|| codes.iter().max().map_or(0, |&m| m as usize + 1)));
            fields.push(("label".to_owned(), integers(&codes)?));
        }
        if !self.targets.is_empty() {
            let mut targets = vec![];
            for target in &self.targets {
                let position = cells.position(target)?;
                let numbers = self.numbers(cells, position)?;
                if let Some(row) = numbers.iter().position(|n| n.is_nan()) {
                    return Err(format!("{}: a value to learn is missing", cells.place(row, position)));
                }
                targets.push(numbers);
            }
            fields.push(("target".to_owned(), transposed(&targets, cells.rows.len())?.0));
        }
        fields.push(("missing".to_owned(), missing));
        let data = TensorDataset::new(name, fields).and_then(|data| match classes {
            Some(classes) => data.with_classes(classes),
            None => Ok(data),
        });
        Ok(Table { data: data.map_err(|e| e.to_string())?, columns, names, label: self.label.clone() })
    }

    fn cells(&self, mut reader: impl Read) -> Result<Cells, String> {
        let mut bytes = vec![];
        reader.read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(self.header)
            .delimiter(self.delimiter)
            .trim(csv::Trim::All)
            .from_reader(&bytes[..]);
        let header: Vec<String> = if self.header {
            reader.headers().map_err(problem)?.iter().map(str::to_owned).collect()
        } else {
            let first = reader.byte_headers().map_err(problem)?.len();
            (0..first).map(|i| i.to_string()).collect()
        };
        let (mut rows, mut lines) = (vec![], vec![]);
        for record in reader.records() {
            let record = record.map_err(problem)?;
            lines.push(record.position().map_or(0, |p| line(&bytes, p)));
            rows.push(record);
        }
        Ok(Cells { header, rows, lines })
    }

    fn is_missing(&self, cell: &str) -> bool {
        self.missing.iter().any(|m| m.eq_ignore_ascii_case(cell) || *m == cell.to_lowercase())
    }

    /// The numbers of a column; NaN where it is missing.
    fn numbers(&self, cells: &Cells, position: usize) -> Result<Vec<f32>, String> {
        cells.each(position, |cell| {
            if self.is_missing(cell) {
                return Ok(f32::NAN);
            }
            match cell.parse::<f32>() {
                Ok(number) if number.is_finite() => Ok(number),
                Ok(_) => Err(format!("expected a finite number in f32, got `{cell}`")),
                Err(_) => Err(format!("expected a number, got `{cell}`; are these categories?")),
            }
        })
    }

    /// The whole numbers of a column.
    fn class_numbers(&self, cells: &Cells, position: usize) -> Result<Vec<i32>, String> {
        cells.each(position, |cell| {
            let number = cell.parse::<f64>().ok().filter(|n| n.fract() == 0.0 && (0.0..=1e6).contains(n));
            number.map(|n| n as i32).ok_or_else(|| {
                format!("expected a class, a whole number from 0, got `{cell}`; are these categories?")
            })
        })
    }

    /// The names of a column of categories, and the number of each cell's.
    fn codes(
        &self,
        cells: &Cells,
        position: usize,
        given: Option<&[String]>,
    ) -> Result<(Vec<String>, Vec<i32>), String> {
        let name = |cell: &str| if self.is_missing(cell) { String::new() } else { cell.to_owned() };
        let names = match given {
            Some(names) => names.to_vec(),
            None => {
                let found: BTreeSet<String> =
                    cells.each(position, |cell| Ok(name(cell)))?.into_iter().collect();
                found.into_iter().collect()
            }
        };
        let codes = cells.each(position, |cell| {
            let number = names.iter().position(|n| *n == name(cell)).map(|i| i as i32);
            number.ok_or_else(|| format!("expected one of `{}`, got `{cell}`", names.join("`, `")))
        })?;
        Ok((names, codes))
    }
}

/// The texts of a file.
struct Cells {
    header: Vec<String>,
    rows: Vec<csv::StringRecord>,
    /// Where each row begins, from 1.
    lines: Vec<u64>,
}

impl Cells {
    fn position(&self, column: &str) -> Result<usize, String> {
        self.header.iter().position(|c| c == column).ok_or_else(|| {
            format!("there is no column `{column}`; the columns are `{}`", self.header.join("`, `"))
        })
    }

    fn place(&self, row: usize, position: usize) -> String {
        format!("line {}, column {} (`{}`)", self.lines[row], position + 1, self.header[position])
    }

    fn each<T>(&self, position: usize, f: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
        let cell = |(row, record): (usize, &csv::StringRecord)| {
            f(&record[position]).map_err(|reason| format!("{}: {reason}", self.place(row, position)))
        };
        self.rows.iter().enumerate().map(cell).collect()
    }
}

/// The line of a record. Its position is before the empty lines that are skipped.
fn line(bytes: &[u8], position: &csv::Position) -> u64 {
    let rest = bytes.get(position.byte() as usize..).unwrap_or_default();
    let empty = rest.iter().take_while(|b| b"\r\n".contains(b)).filter(|&&b| b == b'\n');
    position.line() + empty.count() as u64
}

/// What the csv crate says, in our words.
fn problem(error: csv::Error) -> String {
    let line = |position: &Option<csv::Position>| position.as_ref().map_or(0, csv::Position::line);
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            format!("line {}: expected {expected_len} columns, got {len}", line(pos))
        }
        csv::ErrorKind::Utf8 { pos, err } => {
            format!("line {}, column {}: not UTF-8", line(pos), err.field() + 1)
        }
        _ => error.to_string(),
    }
}

fn integers(codes: &[i32]) -> Result<Tensor, String> {
    Tensor::from_slice([codes.len()], codes).map_err(|e| e.to_string())
}

/// Columns of numbers as rows, and where they are missing.
fn transposed(columns: &[Vec<f32>], rows: usize) -> Result<(Tensor, Tensor), String> {
    let numbers: Vec<f32> = (0..rows).flat_map(|row| columns.iter().map(move |c| c[row])).collect();
    let missing = numbers.iter().map(|n| n.is_nan()).collect();
    let shape = [rows, columns.len()];
    let tensors = Tensor::from_vec(shape, numbers).and_then(|n| Ok((n, Tensor::from_vec(shape, missing)?)));
    tensors.map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    fn error(csv: &Csv, text: &[u8]) -> String {
        csv.read_from(text, "t").unwrap_err().to_string()
    }

    #[test]
    fn columns_are_what_they_are_said_to_be() {
        let text = "\u{feff}day; a ;kind;b;y;z\n2012/01/01;1.5;sun;-2e3;7;1\n\"2012;01\";NA;;?;8;0\nx;nan;rain;4;9;0\n";
        let csv = Csv::new()
            .delimiter(b';')
            .ignore("day")
            .missing("?")
            .category("kind")
            .label("z")
            .target("y")
            .target("a");
        let error = csv.read_from(text.as_bytes(), "t").unwrap_err().to_string();
        assert_eq!(error, "t: line 3, column 2 (`a`): a value to learn is missing");
        let csv =
            Csv::new().delimiter(b';').ignore("day").missing("?").category("kind").label("z").target("y");
        let table = csv.read_from(text.as_bytes(), "t").unwrap();
        assert_eq!(table.columns, ["a", "b"]);
        assert_eq!(table.categories("kind").unwrap(), ["", "rain", "sun"]);
        assert_eq!(table.categories("z"), None);
        let data = &table.data;
        let fields: Vec<String> = data.fields().iter().map(|f| format!("{} {}", f.name, f.ty)).collect();
        assert_eq!(fields, ["x f32[2]", "kind i32[]", "label i32[]", "target f32[1]", "missing bool[2]"]);
        let x = data.field("x").unwrap().to_vec::<f32>().unwrap();
        assert_eq!((x[0], x[1], x[5]), (1.5, -2000.0, 4.0));
        let missing = data.field("missing").unwrap().to_vec::<bool>().unwrap();
        assert_eq!(missing, [false, false, true, true, true, false]);
        assert!(x.iter().zip(&missing).all(|(x, &m)| x.is_nan() == m));
        assert_eq!(data.field("kind").unwrap().to_vec::<i32>().unwrap(), [2, 0, 1]);
        assert_eq!(data.field("target").unwrap().to_vec::<f32>().unwrap(), [7.0, 8.0, 9.0]);
        assert_eq!((data.classes(), data.class_counts()), (Some(2), Some(vec![2, 1])));

        let table = Csv::new()
            .without_header()
            .category_of("1", &["no", "yes"])
            .label("1")
            .read_from("1,yes\n2,yes".as_bytes(), "t")
            .unwrap();
        assert_eq!(table.columns, ["0"]);
        assert_eq!((table.data.len(), table.data.class_counts()), (2, Some(vec![0, 2])));
    }

    #[test]
    fn the_last_column_is_a_class_of_numbers_or_names() {
        let read = |text: &str| Csv::new().label_last().read_from(text.as_bytes(), "t");
        let labels = |text: &str| {
            let table = read(text).unwrap();
            (table.data.field("label").unwrap().to_vec::<i32>().unwrap(), table.data.classes())
        };
        // Commas and quotes in the name, as the csv reader takes them.
        assert_eq!(labels("x,\"a, \"\"b\"\"\"\n1,2\n1,0\n1,2\n1,0\n"), (vec![2, 0, 2, 0], Some(3)));
        assert_eq!(labels("x,y\n1,-1\n1,1\n1,1\n1,-1\n"), (vec![0, 1, 1, 0], Some(2)));
        assert_eq!(labels("x,y\n1,no\n1,1.5\n1,1.5\n1,no\n"), (vec![1, 0, 0, 1], Some(2)));
        let expected = "expected classes in the last column, whole numbers from 0 or names";
        for (text, looks) in [
            ("x,y\n1,1\n1,1.5\n1,1\n1,1\n", "`1.5` looks like a number to predict"),
            ("x,y\n1,1\n1,2\n1,3\n1,3\n", "3 different values in 4 rows look like a number to predict"),
            ("x,y\n1,a\n1,b\n1,c\n1,c\n", "there are 3 different values in 4 rows"),
        ] {
            assert_eq!(
                read(text).unwrap_err().to_string(),
                format!("t: column 2 (`y`): {looks}; {expected}")
            );
        }
        let error = read("x,y\n1,a\n1,\n").unwrap_err().to_string();
        assert_eq!(error, "t: line 3, column 2 (`y`): the class is missing");
    }

    #[test]
    fn mistakes_are_named_by_line_and_column() {
        let numbers = Csv::new();
        let weather = || Csv::new().category_of("sky", &["sun", "rain"]).label("sky");
        let cases: [(&Csv, &[u8], &str); 14] = [
            (
                &numbers,
                b"a,b\n1,2\n\n3,four\n",
                "line 4, column 2 (`b`): expected a number, got `four`; are these categories?",
            ),
            (&numbers, b"a,b\n1,2\n3\n", "line 3: expected 2 columns, got 1"),
            (&numbers, b"a\n1e39\n", "line 2, column 1 (`a`): expected a finite number in f32, got `1e39`"),
            (&numbers, b"a\ninf\n", "line 2, column 1 (`a`): expected a finite number in f32, got `inf`"),
            (&numbers, b"a,b\n1,2\n3,\xff\n", "line 3, column 2: not UTF-8"),
            (&numbers, b"\xff\n1\n", "not UTF-8"),
            (&numbers, b"", "there are no rows"),
            (&numbers, b"a,b\n", "there are no rows"),
            (&numbers, b"a,a\n1,2\n", "there are two columns `a`"),
            (&Csv::new().label("c"), b"a,b\n1,2\n", "there is no column `c`; the columns are `a`, `b`"),
            (
                &Csv::new().label("b"),
                b"a,b\n1,1.5\n",
                "line 2, column 2 (`b`): expected a class, a whole number from 0, got `1.5`; are these categories?",
            ),
            (
                &Csv::new().label("b"),
                b"a,b\n1,\n",
                "line 2, column 2 (`b`): expected a class, a whole number from 0, got ``; are these categories?",
            ),
            (
                &weather(),
                b"sky,t\nsun,1\nfog,2\n",
                "line 3, column 1 (`sky`): expected one of `sun`, `rain`, got `fog`",
            ),
            (
                &Csv::new().ignore("x").target("a"),
                b"a,b\n1,2\n",
                "there is no column `x`; the columns are `a`, `b`",
            ),
        ];
        for (csv, text, reason) in cases {
            let error = error(csv, text);
            assert!(error.starts_with("t: ") && error.ends_with(reason), "{error}, expected {reason}");
        }
        let error = Csv::new().read("no/such.csv").unwrap_err().to_string();
        assert!(error.starts_with("no/such.csv: No such file"), "{error}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a\nx\n").unwrap();
        let error = Csv::new().read(file.path()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: line 2, column 1", file.path().display())), "{error}");
    }

    #[test]
    fn every_truncation_is_read_or_refused() {
        let whole = "a,kind,label\n1.5,\"x, y\",0\n,z,1\n-3e2,\"\",1\n";
        let csv = Csv::new().category("kind").label("label");
        assert_eq!(csv.read_from(whole.as_bytes(), "t").unwrap().data.len(), 3);
        for length in 0..whole.len() {
            if let Ok(table) = csv.read_from(&whole.as_bytes()[..length], "t") {
                assert!(!table.data.is_empty());
            }
        }
    }
}
