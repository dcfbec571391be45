//! Demand in replica-equivalents.

use core::ffi::c_void;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::code::{EkCode, run};
use super::memory::{self, Extensible};
use super::model::{self, EkModel};
use crate::Model;
use crate::demand::{Demand, ScaleModel};
use crate::forecast::features::history_len;
use crate::forecast::{History, Rolling};

/// Alignment of the memory of a demand, in bytes.
pub const EK_DEMAND_ALIGNMENT: usize = 64;

/// Marks memory that holds a demand of this layout.
const MAGIC: u64 = u64::from_le_bytes(*b"EKdmnd_4");

/// Demand of a service in the caller's memory, which may be shared between processes.
#[derive(Debug)]
pub struct EkDemand(#[expect(dead_code, reason = "read through pointers alone")] Region);

/// Head of the memory; the rolling calibration and the history's values follow.
#[derive(Debug)]
#[repr(C, align(64))]
struct Region {
    magic: u64,
    values: u32,
    step_s: f32,
    pushed: AtomicU64,
    demand: Demand,
}

const _: () = assert!(align_of::<Region>() == EK_DEMAND_ALIGNMENT);

/// What one replica carries, and how a forecast becomes a demand for replicas.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkScale {
    /// `sizeof(ek_scale)`, set by the caller.
    pub struct_size: u32,
    /// Requests a second that one warm replica carries at the objective.
    pub replica_requests_per_s: f32,
    /// Seconds from asking for a replica until it serves.
    pub lead_s: f32,
    /// Quantile of the forecast that replicas are kept ready for, 0.1 to 0.9.
    pub quantile: f32,
    /// Factor on the demand, 1 to 10.
    pub headroom: f32,
    /// Share of the present slope, 0 to 2, by which a rise is taken to go on until the lead
    /// time; 0 looks at the present rate and the forecast alone.
    pub trend: f32,
}

/// What is known of the demand. Shares of several proxies add up.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkDemandReading {
    /// `sizeof(ek_demand_reading)`, set by the caller.
    pub struct_size: u32,
    /// Requests a second, over about the last half minute.
    pub present_per_s: f32,
    /// The most that is foreseen within the lead time, in requests a second; NaN where
    /// there is no forecast.
    pub forecast_per_s: f32,
    /// Demand in replica-equivalents; NaN where it is not known what a replica carries.
    pub replicas: f32,
    /// Days of history that the forecast rests on; NaN where there is no forecast.
    pub history_days: f32,
    /// By how much the rate changes, in requests a second every second.
    pub slope_per_s2: f32,
}

// SAFETY: `repr(C)`, `struct_size` first, numbers only.
unsafe impl Extensible for EkScale {}
// SAFETY: as above.
unsafe impl Extensible for EkDemandReading {}

const _: () = assert!(size_of::<EkScale>() == 24 && size_of::<EkDemandReading>() == 24);

/// Bytes of memory that a model's demand needs; 0 if the model is NULL.
///
/// # Safety
/// - `model` is NULL or comes from `ek_model_load`, whose storage is still there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_demand_size(model: *const EkModel) -> usize {
    // SAFETY: forwarded to the caller.
    unsafe { model::required(model) }.map_or(0, |model| size(values(model)))
}

/// Puts an empty demand into memory. The memory must be aligned to
/// `EK_DEMAND_ALIGNMENT`, of `ek_demand_size` bytes, and stay where it is.
///
/// # Safety
/// - `model` is NULL or comes from `ek_model_load`, whose storage is still there.
/// - `memory` is NULL or points to `memory_size` bytes that nobody else uses yet.
/// - `demand` is NULL or points to a pointer that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_demand_init(
    memory: *mut c_void,
    memory_size: usize,
    model: *const EkModel,
    demand: *mut *mut EkDemand,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let model = unsafe { model::required(model) }?;
        let region = memory.cast::<Region>();
        memory::check(region)?;
        memory::check(demand)?;
        let values = values(model);
        if memory_size < size(values) {
            return Err(EkCode::MemorySize);
        }
        let head = Region {
            magic: MAGIC,
            values,
            step_s: step_s(model),
            pushed: AtomicU64::new(0),
            demand: Demand::default(),
        };
        // SAFETY: aligned, large enough, and the caller's to give.
        unsafe { region.write(head) };
        // SAFETY: within the memory, whose size was checked.
        let rolling = unsafe { region.add(1) }.cast::<Rolling>();
        // SAFETY: `size` bytes have room for it and for the values behind it.
        unsafe { rolling.write(Rolling::new()) };
        // SAFETY: the same.
        unsafe { rolling.add(1).cast::<f32>().write_bytes(0, values as usize) };
        // SAFETY: checked above.
        unsafe { demand.write(region.cast()) };
        Ok(())
    })
}

/// Goes on with a demand that is already in memory, for the same model or another one of
/// the same step. `EK_CODE_DEMAND_FOREIGN` if there is none, or its step is another:
/// `ek_demand_init` then starts a new one.
///
/// # Safety
/// - `model` is NULL or comes from `ek_model_load`, whose storage is still there.
/// - `memory` is NULL or points to `memory_size` initialised bytes.
/// - `demand` is NULL or points to a pointer that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_demand_attach(
    memory: *mut c_void,
    memory_size: usize,
    model: *const EkModel,
    demand: *mut *mut EkDemand,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let model = unsafe { model::required(model) }?;
        let region = memory.cast::<Region>();
        memory::check(region)?;
        memory::check(demand)?;
        if memory_size < size_of::<Region>() {
            return Err(EkCode::MemorySize);
        }
        // SAFETY: aligned, large enough, initialised, and numbers only.
        let head = unsafe { &*region };
        if head.magic != MAGIC || head.values != values(model) || head.step_s != step_s(model) {
            return Err(EkCode::DemandForeign);
        }
        if memory_size < size(head.values) {
            return Err(EkCode::MemorySize);
        }
        // SAFETY: checked above.
        unsafe { demand.write(region.cast()) };
        Ok(())
    })
}

/// Counts a request; not to be called again when it is retried. Any number of threads and
/// processes may do so at once.
///
/// # Safety
/// - `demand` is NULL or comes from `ek_demand_init` or `ek_demand_attach`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_demand_arrived(demand: *const EkDemand) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        unsafe { region(demand) }?.demand.arrived();
        Ok(())
    })
}

/// Takes note of the time: to be called about once a second, by one thread at a time.
/// `now_us` is of the caller's monotonic clock, `epoch_s` the Unix time. `scratch` is of
/// `ek_forecast_scratch_size` bytes; NULL will do for a model without forecaster.
///
/// # Safety
/// - `demand` is NULL or comes from `ek_demand_init` or `ek_demand_attach`, and no other
///   thread is in this function with it.
/// - `model` is NULL or comes from `ek_model_load`, whose storage is still there.
/// - `scratch` is NULL or points to `scratch_size` bytes, aligned to 4, that nobody else
///   uses meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_demand_tick(
    demand: *mut EkDemand,
    model: *const EkModel,
    now_us: u64,
    epoch_s: f64,
    scratch: *mut c_void,
    scratch_size: usize,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let model = unsafe { model::required(model) }?;
        // SAFETY: forwarded to the caller.
        let head = unsafe { region(demand) }?;
        // SAFETY: forwarded to the caller.
        let scratch = unsafe { memory::slice_mut(scratch.cast::<f32>(), scratch_size / size_of::<f32>()) }?;
        if head.values != values(model) || head.step_s != step_s(model) {
            return Err(EkCode::DemandForeign);
        }
        if model.forecaster().is_some_and(|forecaster| scratch.len() < forecaster.scratch_len()) {
            return Err(EkCode::MemorySize);
        }
        // SAFETY: right behind the head, as `ek_demand_init` left it.
        let rolling = unsafe { demand.cast::<Region>().add(1) }.cast::<Rolling>();
        // SAFETY: the values lie right behind the rolling calibration.
        let values = unsafe { rolling.add(1) }.cast::<f32>();
        // SAFETY: as many as the head says, initialised, and only whoever ticks uses them.
        let values = unsafe { core::slice::from_raw_parts_mut(values, head.values as usize) };
        // SAFETY: numbers only, and only whoever ticks uses them.
        let rolling = unsafe { &mut *rolling };
        let mut history = History::attach(values, head.pushed.load(Relaxed)).with_rolling(rolling);
        head.demand.tick(model.forecaster(), &mut history, now_us, epoch_s, scratch);
        head.pushed.store(history.pushed(), Relaxed);
        Ok(())
    })
}

/// Reads the demand, by `scale`: each figure that is NaN there, or all if it is NULL, is the
/// model's, or else a default (a lead of 120 s, quantile 0.9, headroom 1.1, trend 0.5). Any
/// number of threads and processes may do so at once.
///
/// # Safety
/// - `demand` is NULL or comes from `ek_demand_init` or `ek_demand_attach`.
/// - `model` is NULL or comes from `ek_model_load`, whose storage is still there.
/// - `scale` is NULL or points to an initialised structure.
/// - `reading` is NULL or points to a structure whose `struct_size` is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_demand_read(
    demand: *const EkDemand,
    model: *const EkModel,
    scale: *const EkScale,
    reading: *mut EkDemandReading,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let model = unsafe { model::required(model) }?;
        // SAFETY: forwarded to the caller.
        let head = unsafe { region(demand) }?;
        // SAFETY: forwarded to the caller.
        let struct_size = unsafe { memory::struct_size(reading) }? as u32;
        let merged = if scale.is_null() {
            *model.scale().unwrap_or(&ScaleModel::DEFAULT)
        } else {
            // SAFETY: forwarded to the caller.
            ScaleModel::merged(&unsafe { memory::input(scale) }?.to_runtime()?, model.scale())
        };
        let read = head.demand.read(model.forecaster(), &merged);
        let answer = EkDemandReading {
            struct_size,
            present_per_s: read.present_per_s,
            forecast_per_s: read.forecast_per_s,
            replicas: read.replicas,
            history_days: read.history_days,
            slope_per_s2: read.slope_per_s2,
        };
        // SAFETY: checked above.
        unsafe { reading.write(answer) };
        Ok(())
    })
}

/// What the model says of replicas; `EK_CODE_NO_SCALE` if it says nothing.
///
/// # Safety
/// - `model` is NULL or comes from `ek_model_load`, whose storage is still there.
/// - `scale` is NULL or points to a structure whose `struct_size` is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_model_scale(model: *const EkModel, scale: *mut EkScale) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let found = unsafe { model::required(model) }?.scale().ok_or(EkCode::NoScale)?;
        // SAFETY: forwarded to the caller.
        let struct_size = unsafe { memory::struct_size(scale) }? as u32;
        let ScaleModel { replica_requests_per_s, lead_s, quantile, headroom, trend } = *found;
        let answer = EkScale { struct_size, replica_requests_per_s, lead_s, quantile, headroom, trend };
        // SAFETY: checked above.
        unsafe { scale.write(answer) };
        Ok(())
    })
}

/// Checks that the values are within their ranges: capacity and lead positive, a quantile from
/// 0.1 to 0.9, a headroom from 1 to 10, a trend from 0 to 2. NaN marks one that is not given.
///
/// # Safety
/// - `scale` is NULL or points to an initialised structure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_scale_check(scale: *const EkScale) -> EkCode {
    // SAFETY: forwarded to the caller.
    run(|| unsafe { memory::input(scale) }?.to_runtime().map(|_| ()))
}

impl EkScale {
    fn to_runtime(self) -> Result<ScaleModel, EkCode> {
        let Self { replica_requests_per_s, lead_s, quantile, headroom, trend, .. } = self;
        let scale = ScaleModel { replica_requests_per_s, lead_s, quantile, headroom, trend };
        if scale.is_valid_configuration() { Ok(scale) } else { Err(EkCode::ScaleRange) }
    }
}

/// Values of the history that a model's forecaster looks at; a model without one has none,
/// and a single value keeps the layout the same.
fn values(model: &Model<'_>) -> u32 {
    model.forecaster().map_or(1, |forecaster| {
        history_len(forecaster.calibration().step_s).clamp(1, super::forecast::EK_HISTORY_VALUES_MAX as usize) as u32
    })
}

fn step_s(model: &Model<'_>) -> f32 {
    model.forecaster().map_or(0.0, |forecaster| forecaster.calibration().step_s)
}

const fn size(values: u32) -> usize {
    size_of::<Region>() + size_of::<Rolling>() + values as usize * size_of::<f32>()
}

/// # Safety
/// - `demand` is NULL or comes from `ek_demand_init` or `ek_demand_attach`.
unsafe fn region<'a>(demand: *const EkDemand) -> Result<&'a Region, EkCode> {
    let region = demand.cast::<Region>();
    memory::check(region)?;
    // SAFETY: aligned and initialised; what changes in it is atomic.
    let head = unsafe { &*region };
    if head.magic == MAGIC { Ok(head) } else { Err(EkCode::DemandForeign) }
}
