//! Forecasts of the demand, from a history in the caller's memory.
//!
//! A history has no atomics: one thread or process uses it at a time.

use core::ffi::c_void;

use super::code::{EkCode, run};
use super::memory;
use super::model::{self, EkModel};
use super::types::{EK_HORIZONS, EK_QUANTILES, EkForecast, EkHorizons};
use crate::forecast::features::history_len;
use crate::forecast::{Forecaster, History, Rolling};

/// Alignment in bytes of the memory of a history.
pub const EK_HISTORY_ALIGNMENT: usize = 64;

/// Most values of a history.
pub const EK_HISTORY_VALUES_MAX: u32 = 1 << 24;

const MAGIC: u64 = u64::from_le_bytes(*b"EKhist_2");

/// The recent past of a rate: a ring of values, one for each step, and what became of
/// earlier forecasts, by which the next are corrected. In memory of the caller; one thread
/// or process uses it at a time.
#[derive(Debug)]
pub struct EkHistory(#[expect(dead_code, reason = "read through pointers alone")] Region);

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Region {
    magic: u64,
    pushed: u64,
    values: u32,
    reserved: u32,
}

const _: () = assert!(align_of::<Region>() == EK_HISTORY_ALIGNMENT);

/// Size in bytes of the memory of a history of so many values; 0 if that is 0 or above
/// `EK_HISTORY_VALUES_MAX`. `ek_forecast_horizons` tells how many values a model can use.
#[unsafe(no_mangle)]
pub extern "C" fn ek_history_size(values: u32) -> usize {
    if (1..=EK_HISTORY_VALUES_MAX).contains(&values) {
        size_of::<Region>() + size_of::<Rolling>() + values as usize * size_of::<f32>()
    } else {
        0
    }
}

/// Makes an empty history, whatever the memory held before.
///
/// `memory`: `ek_history_size(values)` bytes or more, aligned to `EK_HISTORY_ALIGNMENT`.
/// `history`: gets the history, which is the memory itself.
///
/// # Safety
/// - `memory` points to `memory_size` bytes which are the history's as long as it is used.
/// - `history` points to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_history_init(
    memory: *mut c_void,
    memory_size: usize,
    values: u32,
    history: *mut *mut EkHistory,
) -> EkCode {
    run(|| {
        let region = memory.cast::<Region>();
        memory::check(region)?;
        memory::check(history)?;
        let size = ek_history_size(values);
        if size == 0 || memory_size < size {
            return Err(EkCode::MemorySize);
        }
        // SAFETY: aligned, large enough, and the caller's to give.
        unsafe { region.write(Region { magic: MAGIC, pushed: 0, values, reserved: 0 }) };
        // SAFETY: within the memory, whose size was checked.
        let rolling = unsafe { region.add(1) }.cast::<Rolling>();
        // SAFETY: `size` bytes have room for it and for the values behind it.
        unsafe { rolling.write(Rolling::new()) };
        // SAFETY: the same.
        unsafe { rolling.add(1).cast::<f32>().write_bytes(0, values as usize) };
        // SAFETY: checked above.
        unsafe { history.write(region.cast()) };
        Ok(())
    })
}

/// Finds the history in memory that was initialised before, by another process or before
/// a restart.
///
/// `history`: gets the history, which is the memory itself.
///
/// # Safety
/// - `memory` points to `memory_size` initialised bytes which are the history's as long
///   as it is used.
/// - `history` points to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_history_attach(
    memory: *mut c_void,
    memory_size: usize,
    history: *mut *mut EkHistory,
) -> EkCode {
    run(|| {
        let region = memory.cast::<Region>();
        memory::check(region)?;
        memory::check(history)?;
        if memory_size < size_of::<Region>() {
            return Err(EkCode::MemorySize);
        }
        // SAFETY: aligned, large enough, initialised, and numbers only.
        let found = unsafe { region.read() };
        let size = ek_history_size(found.values);
        if found.magic != MAGIC || found.reserved != 0 || size == 0 {
            return Err(EkCode::HistoryForeign);
        }
        if memory_size < size {
            return Err(EkCode::MemorySize);
        }
        // SAFETY: checked above.
        unsafe { history.write(region.cast()) };
        Ok(())
    })
}

/// Adds the value of the step that has just ended: requests a second, say. NaN, or
/// infinity, where it is not known; a step must not be left out.
///
/// # Safety
/// - `history` comes from `ek_history_init` or `ek_history_attach`, its memory still in
///   place, and nobody else uses it during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_history_push(history: *mut EkHistory, value: f32) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let mut ring = unsafe { ring(history) }?;
        ring.push(value);
        let pushed = ring.pushed();
        // SAFETY: `ring` checked the pointer.
        unsafe { (&raw mut (*history.cast::<Region>()).pushed).write(pushed) };
        Ok(())
    })
}

/// What a model forecasts: its step, its horizons, and the history that it can use.
///
/// `horizons`: filled in; its `struct_size` must be set.
///
/// # Safety
/// - `model` comes from `ek_model_load`, its storage and bytes still in place.
/// - `horizons` points to `horizons->struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_forecast_horizons(model: *const EkModel, horizons: *mut EkHorizons) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let calibration = unsafe { forecaster(model) }?.calibration();
        // SAFETY: forwarded to the caller.
        let struct_size = unsafe { memory::struct_size(horizons) }? as u32;
        let history_values = history_len(calibration.step_s).min(EK_HISTORY_VALUES_MAX as usize) as u32;
        let answer = EkHorizons {
            struct_size,
            step_s: calibration.step_s,
            history_values,
            reserved: 0,
            steps: calibration.horizons,
        };
        // SAFETY: checked above.
        unsafe { horizons.write(answer) };
        Ok(())
    })
}

/// Size in bytes of the scratch memory for forecasts. 0 for a model without a forecaster,
/// and for what is not a model.
///
/// # Safety
/// - `model` is NULL or comes from `ek_model_load`, its storage and bytes still in place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_forecast_scratch_size(model: *const EkModel) -> usize {
    // SAFETY: forwarded to the caller.
    unsafe { forecaster(model) }.map_or(0, |forecaster| forecaster.scratch_len() * size_of::<f32>())
}

/// Forecasts the demand at each horizon.
///
/// `epoch_s`: Unix time of the history's newest value, in the service's local time where
/// its days and weeks follow that.
/// `scratch`: `ek_forecast_scratch_size(model)` bytes or more, aligned as `float`; not
/// shared with another thread.
/// `forecast`: filled in; its `struct_size` must be set.
///
/// Returns `EK_CODE_HISTORY_EMPTY` if the last day has no known value.
///
/// # Safety
/// - `model` comes from `ek_model_load`, its storage and bytes still in place.
/// - `history` comes from `ek_history_init` or `ek_history_attach`, its memory still in
///   place, and nobody else uses it during the call.
/// - `scratch` points to `scratch_size` bytes that nobody else uses during the call.
/// - `forecast` points to `forecast->struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_forecast_predict(
    model: *const EkModel,
    history: *mut EkHistory,
    epoch_s: f64,
    scratch: *mut c_void,
    scratch_size: usize,
    forecast: *mut EkForecast,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let forecaster = unsafe { forecaster(model) }?;
        // SAFETY: forwarded to the caller.
        let mut ring = unsafe { ring(history) }?;
        // SAFETY: forwarded to the caller.
        let scratch = unsafe { memory::slice_mut(scratch.cast::<f32>(), scratch_size / size_of::<f32>()) }?;
        // SAFETY: forwarded to the caller.
        let struct_size = unsafe { memory::struct_size(forecast) }? as u32;
        if scratch.len() < forecaster.scratch_len() {
            return Err(EkCode::MemorySize);
        }
        let mut quantiles = [[0.0; EK_QUANTILES]; EK_HORIZONS];
        let evidence = forecaster.forecast(&mut ring, epoch_s, scratch, &mut quantiles);
        let evidence = evidence.ok_or(EkCode::HistoryEmpty)?;
        let answer = EkForecast {
            struct_size,
            history_days: evidence.history_days,
            missing_share: evidence.missing_share,
            reserved: 0,
            quantiles,
        };
        // SAFETY: checked above.
        unsafe { forecast.write(answer) };
        Ok(())
    })
}

/// The forecaster of a model.
///
/// # Safety
/// - As [`model::required`].
unsafe fn forecaster<'a>(model: *const EkModel) -> Result<&'a Forecaster<'static>, EkCode> {
    // SAFETY: forwarded to the caller.
    unsafe { model::required(model) }?.forecaster().ok_or(EkCode::NoForecaster)
}

/// The runtime's view of a history.
///
/// # Safety
/// - If neither NULL nor misaligned, `history` points to as many initialised bytes as the
///   region's header has, comes from [`ek_history_init`] or [`ek_history_attach`] if it
///   carries the mark, and nobody else uses it during `'a`.
unsafe fn ring<'a>(history: *mut EkHistory) -> Result<History<'a>, EkCode> {
    let region = history.cast::<Region>();
    memory::check(region)?;
    // SAFETY: aligned, initialised, and numbers only.
    let header = unsafe { region.read() };
    if header.magic != MAGIC {
        return Err(EkCode::HistoryForeign);
    }
    // SAFETY: right behind the header, as `ek_history_init` left it.
    let rolling = unsafe { region.add(1) }.cast::<Rolling>();
    // SAFETY: the values lie right behind the rolling calibration.
    let values = unsafe { rolling.add(1) }.cast::<f32>();
    // SAFETY: initialised with the mark, as many as the header says; exclusive, says the caller.
    let values = unsafe { core::slice::from_raw_parts_mut(values, header.values as usize) };
    // SAFETY: the same, and numbers only.
    Ok(History::attach(values, header.pushed).with_rolling(unsafe { &mut *rolling }))
}
