//! Demand of a service, foreseen, in replica-equivalents; and the passing of time.

use core::ffi::c_void;

use super::code::{EkCode, run};
use super::memory::{self, Extensible};
use super::model::{self, EkModel};
use super::types::{EK_HISTORY_VALUES_MAX, EkForecast};
use super::upstream::{self, EkUpstream, Wanted};
use crate::Model;
use crate::demand::ScaleModel;
use crate::forecast::features::history_len;
use crate::forecast::{Forecaster, History};
use crate::upstream::Clock;

/// Capacity of a replica, and the rule by which a forecast becomes a demand for replicas.
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

/// Present and foreseen demand. Shares of several proxies add up.
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

/// Values of the demand's history that a model's forecaster looks back on; 0 for NULL, for a model
/// without one, and for what is not a model.
///
/// # Safety
/// - `model` is NULL or comes from `ek_model_load`, its storage and bytes still in place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_model_history(model: *const EkModel) -> u32 {
    // SAFETY: forwarded to the caller.
    let model = unsafe { model::optional(model) }.ok().flatten();
    model.and_then(Model::forecaster).map_or(0, |forecaster| wanted(forecaster).values)
}

/// Takes note of the time: slow starts go on, a step of the demand ends, a forecast is made. To
/// be called about once a second, by one thread of one process at a time, and once before the
/// first `ek_host_restarted`.
///
/// A host that came up `t` ago gets `max(0.1, t / slow_start)` of its full share of the
/// requests, if that many are to go there. `slow_start_us`: the time that it takes to get all of it; 0 for no slow start.
/// `model`: may be NULL. `now_us`: of the caller's monotonic clock. `epoch_s`: Unix time, in the
/// service's local time where its days and weeks follow that. `scratch`: as for
/// `ek_upstream_choose`.
///
/// Returns `EK_CODE_HISTORY_SHORT`, with all else done, if the upstream has no room for the
/// history that the model's forecaster needs.
///
/// # Safety
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
/// - `model` is NULL or comes from `ek_model_load`, its storage and bytes still in place.
/// - `scratch` points to `scratch_size` bytes that nobody else uses during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_upstream_tick(
    upstream: *mut EkUpstream,
    model: *const EkModel,
    slow_start_us: u64,
    now_us: u64,
    epoch_s: f64,
    scratch: *mut c_void,
    scratch_size: usize,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let model = unsafe { model::optional(model) }?;
        // SAFETY: forwarded to the caller.
        let view = unsafe { upstream::view(upstream) }?;
        // SAFETY: forwarded to the caller.
        let scratch = unsafe { memory::slice_mut(scratch.cast::<f32>(), scratch_size / size_of::<f32>()) }?;
        let forecaster = model.and_then(Model::forecaster);
        if forecaster.is_some_and(|forecaster| scratch.len() < forecaster.scratch_len()) {
            return Err(EkCode::MemorySize);
        }
        let clock = Clock { now_us, epoch_s, slow_start_us };
        let wanted = forecaster.map(wanted);
        // SAFETY: forwarded to the caller.
        let lent =
            unsafe { upstream::with_history(upstream, wanted, |history| view.tick(&clock, model, history, scratch)) }?;
        if lent.is_none() {
            view.tick(&clock, None, &mut History::new(&mut []), &mut []);
        }
        if lent.is_none() && forecaster.is_some() { Err(EkCode::HistoryShort) } else { Ok(()) }
    })
}

/// Reads the demand, by `scale`: each figure that is NaN there, or all if it is NULL, is the
/// model's, or else a default (a lead of 120 s, quantile 0.9, headroom 1.1, trend 0.5).
///
/// `model`: may be NULL, for the present demand alone.
/// `reading`: filled in; its `struct_size` must be set.
///
/// # Safety
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
/// - `model` is NULL or comes from `ek_model_load`, its storage and bytes still in place.
/// - `scale` is NULL or points to `scale->struct_size` initialised bytes.
/// - `reading` points to `reading->struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_upstream_demand(
    upstream: *const EkUpstream,
    model: *const EkModel,
    scale: *const EkScale,
    reading: *mut EkDemandReading,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let upstream = unsafe { upstream::view(upstream) }?;
        // SAFETY: forwarded to the caller.
        let model = unsafe { model::optional(model) }?;
        // SAFETY: forwarded to the caller.
        let struct_size = unsafe { memory::struct_size(reading) }? as u32;
        let trained = model.and_then(Model::scale);
        let merged = if scale.is_null() {
            *trained.unwrap_or(&ScaleModel::DEFAULT)
        } else {
            // SAFETY: forwarded to the caller.
            ScaleModel::merged(&unsafe { memory::input(scale) }?.to_runtime()?, trained)
        };
        let read = upstream.demand().read(model.and_then(Model::forecaster), &merged);
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

/// Reads the last forecast of the demand. `EK_CODE_NO_FORECAST` before the first.
///
/// `forecast`: filled in; its `struct_size` must be set.
///
/// # Safety
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
/// - `model` comes from `ek_model_load`, its storage and bytes still in place.
/// - `forecast` points to `forecast->struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_upstream_forecast(
    upstream: *const EkUpstream,
    model: *const EkModel,
    forecast: *mut EkForecast,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let upstream = unsafe { upstream::view(upstream) }?;
        // SAFETY: forwarded to the caller.
        let model = unsafe { model::required(model) }?;
        // SAFETY: forwarded to the caller.
        let struct_size = unsafe { memory::struct_size(forecast) }? as u32;
        let forecaster = model.forecaster().ok_or(EkCode::NoForecaster)?;
        let (history_days, quantiles) = upstream.demand().forecast().ok_or(EkCode::NoForecast)?;
        let calibration = forecaster.calibration();
        let (step_s, horizons) = (calibration.step_s, calibration.horizons);
        let answer = EkForecast { struct_size, history_days, step_s, reserved: 0, horizons, quantiles };
        // SAFETY: checked above.
        unsafe { forecast.write(answer) };
        Ok(())
    })
}

/// Reads what the model says of replicas; `EK_CODE_NO_SCALE` if it says nothing.
///
/// `scale`: filled in; its `struct_size` must be set.
///
/// # Safety
/// - `model` comes from `ek_model_load`, its storage and bytes still in place.
/// - `scale` points to `scale->struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_model_scale(model: *const EkModel, scale: *mut EkScale) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let model = unsafe { model::required(model) }?;
        // SAFETY: forwarded to the caller.
        let struct_size = unsafe { memory::struct_size(scale) }? as u32;
        let found = model.scale().ok_or(EkCode::NoScale)?;
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
/// - `scale` points to `scale->struct_size` initialised bytes.
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

/// The history that a forecaster wants.
fn wanted(forecaster: &Forecaster<'_>) -> Wanted {
    let step_s = forecaster.calibration().step_s;
    let values = history_len(step_s).clamp(1, EK_HISTORY_VALUES_MAX as usize) as u32;
    Wanted { values, step_s }
}
