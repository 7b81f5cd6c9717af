//! Products of matrices with any strides, by `gemm`, the crate that Burn's own products come from.
//! Burn clears its output and moves it before it multiplies, which takes a sixth of the time for
//! matrices of a model.
//!
//! A product is the same to the last bit on any number of threads. A row of it does not depend on
//! the number of rows, if they are many: for few rows, few columns and few terms `gemm` has kernels
//! that sum in another order.

use gemm::Parallelism;

use super::columns::Columns;
use super::tensor::{FlexTensor, contiguous};

/// Fewest products of two numbers that are worth waking other threads for.
const PARALLEL_TERMS: usize = 1 << 22;

/// A borrowed matrix with any strides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// Elements from a row to the next, and from a column to the next.
    strides: [usize; 2],
}

impl<'a> Matrix<'a> {
    /// # Panics
    ///
    /// If the last element lies beyond `values`.
    pub(crate) fn new(values: &'a [f32], [rows, columns]: [usize; 2], strides: [usize; 2]) -> Self {
        if rows > 0 && columns > 0 {
            let last = (rows - 1) * strides[0] + (columns - 1) * strides[1];
            assert!(last < values.len(), "the last number of a matrix is there");
        }
        Self {
            values,
            rows,
            columns,
            strides,
        }
    }

    /// A matrix in row-major order.
    pub(crate) fn in_rows(values: &'a [f32], columns: usize) -> Self {
        let rows = values.len().checked_div(columns).unwrap_or(0);
        Self::new(values, [rows, columns], [columns, 1])
    }

    pub(crate) fn transposed(self) -> Self {
        let [row, column] = self.strides;
        Self {
            rows: self.columns,
            columns: self.rows,
            strides: [column, row],
            ..self
        }
    }
}

/// A tensor with two axes that can be read as a matrix; copied if its strides do not allow that.
pub(crate) struct Operand(FlexTensor);

impl Operand {
    pub(crate) fn new(x: FlexTensor) -> Self {
        let strides = x.layout().strides();
        let is_readable = strides.iter().all(|stride| *stride >= 0);
        Self(if is_readable { x } else { contiguous(x) })
    }

    pub(crate) fn matrix(&self) -> Matrix<'_> {
        let layout = self.0.layout();
        let [rows, columns] = layout.shape().dims();
        let strides = [0, 1].map(|axis| layout.strides()[axis].unsigned_abs());
        let values: &[f32] = self.0.storage();
        Matrix::new(
            &values[layout.start_offset().min(values.len())..],
            [rows, columns],
            strides,
        )
    }
}

/// The threads that compute a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// This one: the others are at work on other products.
    One,
    /// All of them, if there is enough to do.
    All,
}

/// `a · b`, in row-major order.
pub(crate) fn product(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
    let count = a.rows * b.columns;
    if count == 0 {
        return Vec::new();
    }
    let mut output: Vec<f32> = Vec::with_capacity(count);
    let start = output.as_mut_ptr();
    #[expect(unsafe_code, reason = "what is overwritten need not be cleared")]
    // SAFETY: The vector has room for `count` numbers and is not shared; `write` writes all of
    // them.
    unsafe {
        write(a, b, start, b.columns, false, Threads::All);
        output.set_len(count);
    }
    output
}

/// `output = a · b`, or `output += a · b`.
///
/// # Panics
///
/// If the output is of another size.
pub(crate) fn multiply(
    a: Matrix<'_>,
    b: Matrix<'_>,
    output: &mut Columns<'_>,
    add: bool,
    threads: Threads,
) {
    assert_eq!(
        [output.rows(), output.width()],
        [a.rows, b.columns],
        "a place for each sum"
    );
    let stride = output.stride();
    #[expect(unsafe_code, reason = "the crate takes pointers")]
    // SAFETY: The columns have the product's rows and width (asserted above), are borrowed for its
    // duration, and are initialised.
    unsafe {
        write(a, b, output.as_mut_ptr(), stride, add, threads);
    }
}

/// # Safety
///
/// From `output` on there are as many rows as `a` has, `stride` apart, with as many columns as `b`
/// has. Nobody else reads or writes them meanwhile. If `add`, they are initialised.
#[expect(unsafe_code, reason = "the crate takes pointers")]
unsafe fn write(
    a: Matrix<'_>,
    b: Matrix<'_>,
    output: *mut f32,
    stride: usize,
    add: bool,
    threads: Threads,
) {
    assert_eq!(a.columns, b.rows, "matrices fit");
    let terms = a.rows.saturating_mul(a.columns).saturating_mul(b.columns);
    let is_parallel =
        threads == Threads::All && terms >= PARALLEL_TERMS && rayon::current_num_threads() > 1;
    let parallelism = match is_parallel {
        true => Parallelism::Rayon(0),
        false => Parallelism::None,
    };
    // A stride above `isize::MAX` can only belong to an axis of one element, where it is not used.
    let [[a_row, a_column], [b_row, b_column], [row, _]] =
        [a.strides, b.strides, [stride, 1]].map(|strides| strides.map(|stride| stride as isize));
    // SAFETY: `Matrix::new` has checked that the operands lie within their slices; the caller
    // vouches for the output.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            output,
            1,
            row,
            add,
            a.values.as_ptr(),
            a_column,
            a_row,
            b.values.as_ptr(),
            b_column,
            b_row,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> Vec<f32> {
        (0..count)
            .map(|i| ((i * 37 % 101) as f32 - 50.0) / 16.0)
            .collect()
    }

    /// The product by its definition, in double precision.
    fn expected(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
        let at = |m: Matrix<'_>, row: usize, column: usize| {
            f64::from(m.values[row * m.strides[0] + column * m.strides[1]])
        };
        let places = (0..a.rows).flat_map(|row| (0..b.columns).map(move |column| (row, column)));
        places
            .map(|(row, column)| {
                let terms = (0..a.columns).map(|i| at(a, row, i) * at(b, i, column));
                terms.sum::<f64>() as f32
            })
            .collect()
    }

    fn assert_close(found: &[f32], expected: &[f32]) {
        let largest = expected
            .iter()
            .fold(1f32, |largest, x| largest.max(x.abs()));
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() <= 1e-5 * largest,
                "{found} {expected}"
            );
        }
    }

    #[test]
    fn products_of_all_sizes_and_orders() {
        for [m, k, n] in [
            [1, 1, 1],
            [1, 9, 5],
            [7, 3, 1],
            [13, 1, 6],
            [12, 32, 12],
            [97, 130, 41],
            [210, 600, 65],
        ] {
            let (a, b) = (numbers(m * k), numbers(k * n));
            for a in [Matrix::in_rows(&a, k), Matrix::in_rows(&a, m).transposed()] {
                for b in [Matrix::in_rows(&b, n), Matrix::in_rows(&b, k).transposed()] {
                    assert_close(&product(a, b), &expected(a, b));
                }
            }
        }
    }

    #[test]
    fn a_number_may_stand_for_a_row() {
        let (a, b) = ([2.0], numbers(12));
        let a = Matrix::new(&a, [3, 4], [0, 0]);
        let b = Matrix::in_rows(&b, 3);
        assert_close(&product(a, b), &expected(a, b));
    }

    #[test]
    fn of_nothing() {
        let nothing = Matrix::in_rows(&[], 3);
        let b = numbers(6);
        assert!(product(nothing, Matrix::in_rows(&b, 2)).is_empty());
        // Sums without a term.
        let zeros = product(
            Matrix::new(&[], [2, 0], [0, 1]),
            Matrix::new(&[], [0, 3], [3, 1]),
        );
        assert_eq!(zeros, [0.0; 6]);
    }

    #[test]
    fn sums_are_added_to_columns_alone() {
        let (a, b) = (numbers(6), numbers(6));
        let (a, b) = (Matrix::in_rows(&a, 3), Matrix::in_rows(&b, 2));
        let mut output = vec![1.0; 2 * 5];
        let mut band = Columns::split(&mut output, 5, 2).nth(1).unwrap();
        multiply(a, b, &mut band, true, Threads::One);
        let expected = expected(a, b);
        for (row, output) in output.chunks(5).enumerate() {
            assert_eq!([output[0], output[1], output[4]], [1.0; 3]);
            assert_close(
                &output[2..4],
                &[expected[row * 2] + 1.0, expected[row * 2 + 1] + 1.0],
            );
        }
    }

    #[test]
    #[should_panic(expected = "the last number of a matrix is there")]
    fn a_matrix_beyond_its_numbers_is_refused() {
        Matrix::new(&[0.0; 5], [2, 3], [3, 1]);
    }
}
