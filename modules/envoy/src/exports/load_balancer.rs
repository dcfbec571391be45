//! Hooks of the load-balancing policy.

use std::ptr;
use std::sync::Arc;

use crate::abi::{Buffer, EnvoyPtr, LogLevel, ModulePtr};
use crate::envoy::{self, ContextView, HostStatistics, LoadBalancerMetrics, LoadBalancerView};
use crate::lb::LoadBalancer;
use crate::settings::Settings;

use super::guard;

/// Name of the policy in the configuration.
const POLICY: &[u8] = b"evenkeel";

/// A new configuration; NULL refuses it. Main thread.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_lb_config_new(config: EnvoyPtr, name: Buffer, options: Buffer) -> ModulePtr {
    guard("lb_config_new", ptr::null(), || {
        // SAFETY: Envoy's, and valid during the hook.
        let (name, options) = unsafe { (name.bytes(), options.bytes()) };
        if name != POLICY {
            let name = String::from_utf8_lossy(name);
            envoy::log(LogLevel::Error, format_args!("lb_policy_name is {name:?}, expected \"evenkeel\""));
            return ptr::null();
        }
        // SAFETY: Envoy destroys the module's configuration first.
        let metrics = unsafe { LoadBalancerMetrics::new(config) };
        match Settings::new(options, metrics) {
            Ok(settings) => {
                let (path, identity) = (settings.artifact.path().display(), settings.artifact.identity());
                envoy::log(LogLevel::Info, format_args!("artifact \"{path}\" is loaded: {identity}"));
                Arc::into_raw(Arc::new(settings)).cast()
            }
            Err(error) => {
                envoy::log(LogLevel::Error, format_args!("lb_policy_config: {error}"));
                ptr::null()
            }
        }
    })
}

/// No load balancer uses the configuration any more.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_lb_config_destroy(settings: ModulePtr) {
    guard("lb_config_destroy", (), || {
        // SAFETY: from `lb_config_new`, and not used again.
        drop(unsafe { Arc::from_raw(settings.cast::<Settings>()) });
    });
}

/// A load balancer for one cluster on this thread.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_lb_new(settings: ModulePtr, lb: EnvoyPtr) -> ModulePtr {
    guard("lb_new", ptr::null(), || {
        let settings = settings.cast::<Settings>();
        // SAFETY: from `lb_config_new`, not destroyed yet.
        unsafe { Arc::increment_strong_count(settings) };
        // SAFETY: its count has just been raised.
        let settings = unsafe { Arc::from_raw(settings) };
        // SAFETY: alive during the hook, and until `lb_destroy`, which drops what has the second.
        let (view, statistics) = unsafe { (LoadBalancerView::new(lb), HostStatistics::new(lb)) };
        Box::into_raw(Box::new(LoadBalancer::new(settings, view, statistics))).cast_const().cast()
    })
}

/// The load balancer is not used any more.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_lb_destroy(balancer: ModulePtr) {
    guard("lb_destroy", (), || {
        // SAFETY: from `lb_new`, and not used again.
        drop(unsafe { Box::from_raw(balancer.cast::<LoadBalancer>().cast_mut()) });
    });
}

/// Chooses a host: an index among the healthy hosts of a priority. `false` if there is none.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_lb_choose_host(
    lb: EnvoyPtr,
    balancer: ModulePtr,
    context: EnvoyPtr,
    priority: *mut u32,
    index: *mut u32,
) -> bool {
    guard("lb_choose_host", false, || {
        // SAFETY: from `lb_new`; only this thread uses it, one hook after the other.
        let balancer = unsafe { &mut *balancer.cast::<LoadBalancer>().cast_mut() };
        // SAFETY: alive during the hook.
        let (view, context) = unsafe { (LoadBalancerView::new(lb), ContextView::new(context)) };
        let Some(choice) = balancer.choose(view, context) else { return false };
        // SAFETY: Envoy hands over two numbers to write to.
        unsafe {
            priority.write(choice.priority);
            index.write(choice.healthy_index);
        }
        true
    })
}

/// Hosts came or went, or changed their health: then both numbers are 0.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_lb_on_host_membership_update(
    lb: EnvoyPtr,
    balancer: ModulePtr,
    _added: usize,
    _removed: usize,
) {
    guard("lb_on_host_membership_update", (), || {
        // SAFETY: from `lb_new`; only this thread uses it, one hook after the other.
        let balancer = unsafe { &mut *balancer.cast::<LoadBalancer>().cast_mut() };
        // SAFETY: alive during the hook.
        balancer.update(unsafe { LoadBalancerView::new(lb) });
    });
}
