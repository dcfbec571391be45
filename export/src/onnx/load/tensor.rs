//! Constant tensors in any of ONNX's number formats, as numbers.

use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::prelude::f16;

/// Most bytes of one tensor, see [`super::FILE_BYTES_MAX`].
pub(super) const TENSOR_BYTES_MAX: u64 = 1 << 28;

/// What a tensor's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Floating point.
    Float,
    /// Whole numbers of so many bits.
    Integer {
        /// Bits of a number.
        bits: u32,
        /// Whether it can be negative.
        signed: bool,
    },
    /// Truth values.
    Bool,
}

impl Kind {
    /// Of an ONNX element type; `None` for text, complex numbers and formats below 8 bits.
    pub(crate) fn of(element: i32) -> Option<Self> {
        let integer = |bits, signed| Some(Self::Integer { bits, signed });
        match DataType::try_from(element).ok()? {
            DataType::Float | DataType::Float16 | DataType::Double | DataType::Bfloat16 => Some(Self::Float),
            DataType::Uint8 => integer(8, false),
            DataType::Int8 => integer(8, true),
            DataType::Uint16 => integer(16, false),
            DataType::Int16 => integer(16, true),
            DataType::Uint32 => integer(32, false),
            DataType::Int32 => integer(32, true),
            DataType::Uint64 => integer(64, false),
            DataType::Int64 => integer(64, true),
            DataType::Bool => Some(Self::Bool),
            _ => None,
        }
    }
}

/// An element type's name, as ONNX writes it.
pub(crate) fn type_name(element: i32) -> String {
    match DataType::try_from(element) {
        Ok(known) => known.as_str_name().to_ascii_lowercase(),
        Err(_) => format!("element type {element}"),
    }
}

/// A tensor of the file, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) shape: Vec<usize>,
    /// Whole numbers beyond 2⁵³ are rounded: they stand for "to the end".
    pub(crate) numbers: Vec<f64>,
    pub(crate) kind: Kind,
}

impl Tensor {
    /// Decodes a tensor whose data is in the file.
    pub(crate) fn decode(proto: &TensorProto) -> Result<Self, String> {
        let unknown = || {
            format!(
                "found a tensor {:?} of type {}, expected float, whole numbers of 8 to 64 bits, or bool: export the \
                 model in float32",
                proto.name,
                type_name(proto.data_type)
            )
        };
        let element = DataType::try_from(proto.data_type).map_err(|_| unknown())?;
        let kind = Kind::of(proto.data_type).ok_or_else(unknown)?;
        let count = bytes_of(proto)? as usize / size_of_element(element).unwrap_or(1);
        let numbers = if proto.raw_data.is_empty() { typed(proto, element) } else { raw(&proto.raw_data, element) };
        if numbers.len() != count {
            return Err(format!(
                "found {} numbers in tensor {:?}, expected {count} for its shape {:?}",
                numbers.len(),
                proto.name,
                proto.dims
            ));
        }
        Ok(Self { shape: proto.dims.iter().map(|dim| *dim as usize).collect(), numbers, kind })
    }

    /// One number.
    pub(crate) fn scalar(number: f64, kind: Kind) -> Self {
        Self { shape: Vec::new(), numbers: vec![number], kind }
    }

    /// The only number; `None` if there are several.
    pub(crate) fn only(&self) -> Option<f64> {
        match self.numbers[..] {
            [number] => Some(number),
            _ => None,
        }
    }

    /// As whole numbers.
    pub(crate) fn whole(&self) -> Vec<i64> {
        self.numbers.iter().map(|number| *number as i64).collect()
    }
}

/// Bytes of a tensor's data, from its type and shape.
pub(super) fn bytes_of(proto: &TensorProto) -> Result<u64, String> {
    let size = DataType::try_from(proto.data_type).ok().and_then(size_of_element);
    let size = size.ok_or_else(|| format!("found a tensor of type {}", type_name(proto.data_type)))?;
    let bytes = proto
        .dims
        .iter()
        .try_fold(size as u64, |product, dim| product.checked_mul(u64::try_from(*dim).ok()?))
        .filter(|bytes| *bytes <= TENSOR_BYTES_MAX);
    bytes.ok_or_else(|| {
        format!("found shape {:?}, expected at most {TENSOR_BYTES_MAX} bytes: a small policy network", proto.dims)
    })
}

fn size_of_element(element: DataType) -> Option<usize> {
    match element {
        DataType::Uint8 | DataType::Int8 | DataType::Bool => Some(1),
        DataType::Uint16 | DataType::Int16 | DataType::Float16 | DataType::Bfloat16 => Some(2),
        DataType::Uint32 | DataType::Int32 | DataType::Float => Some(4),
        DataType::Uint64 | DataType::Int64 | DataType::Double => Some(8),
        _ => None,
    }
}

/// Little-endian numbers.
fn raw(bytes: &[u8], element: DataType) -> Vec<f64> {
    fn each<const SIZE: usize>(bytes: &[u8], number: impl Fn([u8; SIZE]) -> f64) -> Vec<f64> {
        bytes.as_chunks().0.iter().map(|chunk| number(*chunk)).collect()
    }
    match element {
        DataType::Float => each(bytes, |it| f64::from(f32::from_le_bytes(it))),
        DataType::Double => each(bytes, f64::from_le_bytes),
        DataType::Float16 => each(bytes, |it| half(u16::from_le_bytes(it))),
        DataType::Bfloat16 => each(bytes, |it| brain(u16::from_le_bytes(it))),
        DataType::Uint8 | DataType::Bool => each(bytes, |[it]: [u8; 1]| f64::from(it)),
        DataType::Int8 => each(bytes, |it| f64::from(i8::from_le_bytes(it))),
        DataType::Uint16 => each(bytes, |it| f64::from(u16::from_le_bytes(it))),
        DataType::Int16 => each(bytes, |it| f64::from(i16::from_le_bytes(it))),
        DataType::Uint32 => each(bytes, |it| f64::from(u32::from_le_bytes(it))),
        DataType::Int32 => each(bytes, |it| f64::from(i32::from_le_bytes(it))),
        DataType::Uint64 => each(bytes, |it| u64::from_le_bytes(it) as f64),
        DataType::Int64 => each(bytes, |it| i64::from_le_bytes(it) as f64),
        _ => Vec::new(),
    }
}

/// Numbers in the field that ONNX prescribes for the type.
fn typed(proto: &TensorProto, element: DataType) -> Vec<f64> {
    match element {
        DataType::Float => proto.float_data.iter().map(|it| f64::from(*it)).collect(),
        DataType::Double => proto.double_data.clone(),
        DataType::Int64 => proto.int64_data.iter().map(|it| *it as f64).collect(),
        DataType::Uint32 | DataType::Uint64 => proto.uint64_data.iter().map(|it| *it as f64).collect(),
        DataType::Float16 => proto.int32_data.iter().map(|it| half(*it as u16)).collect(),
        DataType::Bfloat16 => proto.int32_data.iter().map(|it| brain(*it as u16)).collect(),
        _ => proto.int32_data.iter().map(|it| f64::from(*it)).collect(),
    }
}

fn half(bits: u16) -> f64 {
    f64::from(f16::from_bits(bits).to_f32())
}

fn brain(bits: u16) -> f64 {
    f64::from(f32::from_bits(u32::from(bits) << 16))
}
