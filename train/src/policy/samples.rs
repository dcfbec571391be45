//! Decisions: what the hosts looked like, and one number for each: what it would have
//! cost (imitation), or whether it was chosen (reinforcement).

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use burn::prelude::{Device, Tensor};
use burn::tensor::TensorData;
use evenkeel_runtime::HOST_FEATURES;

/// Decisions with different numbers of hosts, end to end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// `[host][HOST_FEATURES]` of all decisions.
    features: Vec<f32>,
    /// One number for each host.
    values: Vec<f32>,
    /// Index of each decision's first host; one more at the end.
    begins: Vec<usize>,
}

/// A batch on the device, padded to the largest number of hosts in it.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[decisions, hosts, HOST_FEATURES]`.
    pub features: Tensor<3>,
    /// `[decisions, hosts]`, 1 for a host, 0 for padding.
    pub mask: Tensor<2>,
    /// `[decisions, hosts]`: the number of each host, 0 for padding.
    pub values: Tensor<2>,
}

impl Samples {
    /// Number of decisions.
    pub fn len(&self) -> usize {
        self.begins.len().saturating_sub(1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a decision: `features` as the runtime writes them (feature-major, columns of
    /// `stride` numbers), and a number for each host.
    pub fn push(&mut self, features: &[f32], stride: usize, values: impl Iterator<Item = f32>) {
        if self.begins.is_empty() {
            self.begins.push(0);
        }
        for (row, value) in values.enumerate() {
            self.features.extend((0..HOST_FEATURES).map(|feature| features[feature * stride + row]));
            self.values.push(value);
        }
        self.begins.push(self.values.len());
    }

    /// Adds all of another's decisions.
    pub fn append(&mut self, other: &Self) {
        let shift = self.values.len();
        self.features.extend_from_slice(&other.features);
        self.values.extend_from_slice(&other.values);
        if self.begins.is_empty() {
            self.begins.push(0);
        }
        self.begins.extend(other.begins.iter().skip(1).map(|begin| begin + shift));
    }

    /// Of each feature's mean over a decision's hosts, the values that a share `outliers` of the
    /// decisions lies below, and above: what [`Guard`](evenkeel_runtime::Guard) holds fleets against.
    /// Empty without samples.
    pub fn ranges(&self, outliers: f64) -> Vec<[f32; 2]> {
        let Some(last) = self.len().checked_sub(1) else { return Vec::new() };
        let rank = ((outliers * self.len() as f64) as usize).min(last);
        let range = |feature: usize| {
            let mean = |hosts: &[usize]| {
                let sum: f32 = (hosts[0]..hosts[1]).map(|row| self.features[row * HOST_FEATURES + feature]).sum();
                sum / (hosts[1] - hosts[0]) as f32
            };
            let mut means: Vec<f32> = self.begins.windows(2).map(mean).collect();
            means.sort_unstable_by(f32::total_cmp);
            [means[rank], means[last - rank]]
        };
        (0..HOST_FEATURES).map(range).collect()
    }

    /// The decisions of these numbers as a batch.
    pub fn batch(&self, decisions: &[usize], device: &Device) -> Batch {
        let count = |decision: usize| self.begins[decision + 1] - self.begins[decision];
        let hosts = decisions.iter().map(|decision| count(*decision)).max().unwrap_or(1);
        let mut features = vec![0.0; decisions.len() * hosts * HOST_FEATURES];
        let mut mask = vec![0.0; decisions.len() * hosts];
        let mut values = vec![0.0; decisions.len() * hosts];
        for (row, decision) in decisions.iter().enumerate() {
            let (from, len, to) = (self.begins[*decision], count(*decision), row * hosts);
            features[to * HOST_FEATURES..(to + len) * HOST_FEATURES]
                .copy_from_slice(&self.features[from * HOST_FEATURES..(from + len) * HOST_FEATURES]);
            mask[to..to + len].fill(1.0);
            values[to..to + len].copy_from_slice(&self.values[from..from + len]);
        }
        let shape = [decisions.len(), hosts];
        Batch {
            features: Tensor::from_data(TensorData::new(features, [shape[0], hosts, HOST_FEATURES]), device),
            mask: Tensor::from_data(TensorData::new(mask, shape), device),
            values: Tensor::from_data(TensorData::new(values, shape), device),
        }
    }

    /// Writes the decisions to a file: three counts, then the numbers, little-endian.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        for len in [self.begins.len(), self.values.len(), self.features.len()] {
            file.write_all(&(len as u64).to_le_bytes())?;
        }
        for begin in &self.begins {
            file.write_all(&(*begin as u64).to_le_bytes())?;
        }
        for number in self.values.iter().chain(&self.features) {
            file.write_all(&number.to_le_bytes())?;
        }
        file.flush()
    }

    /// Reads what [`save`](Self::save) wrote.
    pub fn load(path: &Path) -> io::Result<Self> {
        let mut file = BufReader::new(File::open(path)?);
        let mut long = [0; 8];
        let mut next = |file: &mut BufReader<File>| -> io::Result<usize> {
            file.read_exact(&mut long)?;
            Ok(u64::from_le_bytes(long) as usize)
        };
        let counts = [next(&mut file)?, next(&mut file)?, next(&mut file)?];
        let begins: Vec<usize> = (0..counts[0]).map(|_| next(&mut file)).collect::<io::Result<_>>()?;
        let mut floats = |count: usize| -> io::Result<Vec<f32>> {
            let mut bytes = Vec::new();
            file.by_ref().take(count as u64 * 4).read_to_end(&mut bytes)?;
            Ok(bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect())
        };
        let samples = Self { values: floats(counts[1])?, features: floats(counts[2])?, begins };
        let whole = samples.values.len() == counts[1]
            && samples.features.len() == counts[2]
            && samples.begins.last().copied().unwrap_or(0) == counts[1]
            && samples.begins.is_sorted()
            && counts[2] == counts[1] * HOST_FEATURES;
        if whole {
            Ok(samples)
        } else {
            Err(io::Error::other("the samples are truncated; train again without --resume"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_file_and_pads_batches() -> io::Result<()> {
        let mut samples = Samples::default();
        let features: Vec<f32> = (0..HOST_FEATURES * 16).map(|i| i as f32).collect();
        samples.push(&features, 16, [1.0, 2.0].into_iter());
        let mut more = Samples::default();
        more.push(&features, 16, [1.0, 2.0, 4.0].into_iter());
        samples.append(&more);
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("samples.bin");
        samples.save(&path)?;
        assert_eq!(Samples::load(&path)?, samples);
        std::fs::write(&path, &std::fs::read(&path)?[..100])?;
        assert!(Samples::load(&path).is_err());

        let batch = samples.batch(&[0, 1], &Device::flex());
        assert_eq!(batch.features.dims(), [2, 3, HOST_FEATURES]);
        assert_eq!(crate::layers::floats(batch.mask), [1., 1., 0., 1., 1., 1.]);
        assert_eq!(crate::layers::floats(batch.features.slice([1..2, 2..3, 1..2])), [18.0]);
        Ok(())
    }
}
