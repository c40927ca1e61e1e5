//! Devices of the system: those of PulseAudio where it runs; through cpal those of ALSA, or what the platform has.

use std::str::FromStr;
use std::sync::Arc;

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{BufferSize, ErrorKind, FromSample, Sample, SampleFormat, SizedSample};
use cpal::{StreamConfig, SupportedBufferSize, SupportedStreamConfigRange};
use offhook_media_core::units::SAMPLE_RATE;

use super::paced::Pace;
#[cfg(target_os = "linux")]
use super::pulse_server::{AskError, Connection, PulseServer};
#[cfg(target_os = "linux")]
use super::pulse_stream::PulseStream;
use super::{Device, DeviceHealth, DeviceId, DeviceInfo, Direction, ErrorSeverity};
use super::{OpenDevice, OpenDeviceError, Sighting};
use crate::latency::LatencyMode;
use crate::threads::{CALLBACK_PRIORITY, CaptureCallback, RenderCallback, ask_for_real_time};

/// Samples asked for. What comes is another matter: any size is handled.
const PERIOD: u32 = 240;
/// How the ids of PulseAudio's devices begin.
const PULSE_PREFIX: &str = "pulseaudio:";

/// The connections that questions go over; made when first needed, and made again when they broke. Each stream has a connection of its own.
#[derive(Default)]
pub(super) struct CpalHosts {
    host: Option<cpal::Host>,
    #[cfg(target_os = "linux")]
    pulse: PulseServer,
}

impl std::fmt::Debug for CpalHosts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CpalHosts").field("connected", &self.host.is_some()).finish()
    }
}

impl CpalHosts {
    pub(super) fn list(&mut self) -> Vec<DeviceInfo> {
        let defaults = [Direction::Capture, Direction::Render].map(|side| self.default_id(side));
        let Ok(devices) = self.host().and_then(|host| host.devices().map_err(|error| refused(&error))) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for device in devices {
            let Some(id) = id_of(&device) else { continue };
            let name = device.description().map_or_else(|_| id.to_string(), |told| told.name().to_owned());
            let sides = [
                (Direction::Capture, device.supports_input()),
                (Direction::Render, device.supports_output()),
            ];
            for (direction, _) in sides.into_iter().filter(|(_, works)| *works) {
                let is_default = defaults[direction as usize].as_ref() == Some(&id);
                found.push(DeviceInfo { id: id.clone(), name: name.clone(), direction, is_default });
            }
        }
        found.sort_by_key(|device| (device.direction as u8, !device.is_default));
        found
    }

    pub(super) fn default_id(&mut self, direction: Direction) -> Option<DeviceId> {
        #[cfg(target_os = "linux")]
        if let Ok(name) = self.pulse.default_name(direction) {
            return name.and_then(|name| format!("{PULSE_PREFIX}{name}").parse().ok());
        }
        let id = self.host().ok().and_then(|host| default_device(host, direction)).as_ref().and_then(id_of);
        if id.is_none() {
            // The connection may be broken: the next question makes a new one.
            self.host = None;
        }
        id
    }

    pub(super) fn is_present(&mut self, direction: Direction, id: &DeviceId) -> bool {
        if id.as_str().starts_with(PULSE_PREFIX) {
            return matches!(self.look_for(direction, id), Sighting::Present(_));
        }
        by_id(id).is_ok_and(|(_, device)| match direction {
            Direction::Capture => device.supports_input(),
            Direction::Render => device.supports_output(),
        })
    }

    /// Of the sound systems here only PulseAudio carries on without a word what plays on a device that vanished.
    #[cfg(target_os = "linux")]
    pub(super) fn look_for(&mut self, direction: Direction, id: &DeviceId) -> Sighting {
        let Some(name) = id.as_str().strip_prefix(PULSE_PREFIX) else { return Sighting::Unknown };
        match self.pulse.index_of(direction, name) {
            Ok(Some(index)) => Sighting::Present(index),
            Ok(None) => Sighting::Absent,
            Err(error) => {
                tracing::debug!(%error, device = %id, "a device was looked for in vain");
                Sighting::Unknown
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) const fn look_for(&self, _: Direction, _: &DeviceId) -> Sighting {
        Sighting::Unknown
    }

    pub(super) fn open_capture(
        device: &Device,
        pace: Pace,
        mut callback: CaptureCallback,
    ) -> Result<Box<dyn OpenDevice>, OpenDeviceError> {
        #[cfg(target_os = "linux")]
        if let Some((connection, name)) = at_pulse(device)? {
            return Ok(Box::new(PulseStream::capture(connection, device, name, pace.latency, callback)?));
        }
        let (host, found) = find(device, Direction::Capture)?;
        let choice = Choice::of(&found, Direction::Capture, pace.latency)?;
        let channels = usize::from(choice.config.channels);
        let on_error = counting(callback.health());
        let mut first = true;
        let on_data = move |data: &cpal::Data, _: &cpal::InputCallbackInfo| {
            ask_once(&mut first);
            deliver(&mut callback, data, channels);
        };
        let stream = found
            .build_input_stream_raw(choice.config, choice.format, on_data, on_error, None)
            .map_err(|error| failed(device, &error))?;
        CpalDevice::start(device, host, stream, &choice)
    }

    pub(super) fn open_render(
        device: &Device,
        pace: Pace,
        mut callback: RenderCallback,
    ) -> Result<Box<dyn OpenDevice>, OpenDeviceError> {
        #[cfg(target_os = "linux")]
        if let Some((connection, name)) = at_pulse(device)? {
            return Ok(Box::new(PulseStream::render(connection, device, name, pace.latency, callback)?));
        }
        let (host, found) = find(device, Direction::Render)?;
        let choice = Choice::of(&found, Direction::Render, pace.latency)?;
        let channels = usize::from(choice.config.channels);
        let on_error = counting(callback.health());
        let mut first = true;
        let on_data = move |data: &mut cpal::Data, _: &cpal::OutputCallbackInfo| {
            ask_once(&mut first);
            fill(&mut callback, data, channels);
        };
        let stream = found
            .build_output_stream_raw(choice.config, choice.format, on_data, on_error, None)
            .map_err(|error| failed(device, &error))?;
        CpalDevice::start(device, host, stream, &choice)
    }

    fn host(&mut self) -> Result<&cpal::Host, OpenDeviceError> {
        // Where ALSA stands in for a server that was away, the server is tried again.
        if self.host.as_ref().is_none_or(|host| !is_best(host)) {
            self.host = Some(connect()?);
        }
        self.host.as_ref().ok_or_else(|| OpenDeviceError::NoSoundSystem(String::new()))
    }
}

/// From here on libasound does not print on stderr what it thinks of a missing card: the error says it. It writes into memory of this thread
/// instead, which each call empties.
fn hush() {
    #[cfg(target_os = "linux")]
    if let Err(error) = alsa::Output::local_error_handler() {
        tracing::debug!(%error, "libasound goes on printing");
    }
}

/// A connection to the PulseAudio server and the device's name there, `None` for the default; nothing for a device of something else.
#[cfg(target_os = "linux")]
fn at_pulse(device: &Device) -> Result<Option<(Connection, Option<&str>)>, OpenDeviceError> {
    let name = match device {
        Device::Id(id) => match id.as_str().strip_prefix(PULSE_PREFIX) {
            Some(name) => Some(name),
            None => return Ok(None),
        },
        _ => None,
    };
    match Connection::open(None) {
        Ok(connection) => Ok(Some((connection, name))),
        // Without a server the default is that of ALSA.
        Err(AskError::Away) if name.is_none() => Ok(None),
        Err(error) => Err(OpenDeviceError::NoSoundSystem(error.to_string())),
    }
}

/// A device, on a connection of its own.
fn find(device: &Device, direction: Direction) -> Result<(cpal::Host, cpal::Device), OpenDeviceError> {
    match device {
        Device::Id(id) => by_id(id),
        _ => {
            let host = connect()?;
            let found = default_device(&host, direction).ok_or(OpenDeviceError::NotFound(Device::Default))?;
            Ok((host, found))
        }
    }
}

fn default_device(host: &cpal::Host, direction: Direction) -> Option<cpal::Device> {
    hush();
    match direction {
        Direction::Capture => host.default_input_device(),
        Direction::Render => host.default_output_device(),
    }
}

fn by_id(id: &DeviceId) -> Result<(cpal::Host, cpal::Device), OpenDeviceError> {
    hush();
    let not_found = || OpenDeviceError::NotFound(Device::Id(id.clone()));
    let wanted = cpal::DeviceId::from_str(id.as_str()).map_err(|_| not_found())?;
    let host = cpal::host_from_id(wanted.host()).map_err(|error| refused(&error))?;
    let found = host.device_by_id(&wanted).ok_or_else(not_found)?;
    Ok((host, found))
}

fn failed(device: &Device, error: &cpal::Error) -> OpenDeviceError {
    match error.kind() {
        ErrorKind::DeviceNotAvailable => OpenDeviceError::NotFound(device.clone()),
        _ => refused(error),
    }
}

/// A stream that runs; dropping it ends it.
struct CpalDevice {
    #[expect(dead_code, reason = "held so that the stream runs")]
    stream: cpal::Stream,
    #[expect(dead_code, reason = "held as long as its stream")]
    host: cpal::Host,
    sample_rate: u32,
}

impl CpalDevice {
    fn start(
        device: &Device,
        host: cpal::Host,
        stream: cpal::Stream,
        choice: &Choice,
    ) -> Result<Box<dyn OpenDevice>, OpenDeviceError> {
        stream.play().map_err(|error| failed(device, &error))?;
        Ok(Box::new(Self { stream, host, sample_rate: choice.config.sample_rate }))
    }
}

impl OpenDevice for CpalDevice {
    fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    fn follows_engine_clock(&self) -> bool {
        false
    }
}

/// PulseAudio before ALSA, which would only reach it through a plugin that does not survive an underrun.
fn connect() -> Result<cpal::Host, OpenDeviceError> {
    hush();
    #[cfg(target_os = "linux")]
    {
        let available = cpal::available_hosts();
        let mut last = String::from("none is installed");
        for id in [cpal::HostId::PulseAudio, cpal::HostId::Alsa] {
            if !available.contains(&id) {
                continue;
            }
            match cpal::host_from_id(id) {
                Ok(host) => return Ok(host),
                Err(error) => last = error.to_string(),
            }
        }
        Err(OpenDeviceError::NoSoundSystem(last))
    }
    #[cfg(not(target_os = "linux"))]
    Ok(cpal::default_host())
}

/// Whether nothing better is there to be connected to.
fn is_best(host: &cpal::Host) -> bool {
    #[cfg(target_os = "linux")]
    {
        let pulse = cpal::HostId::PulseAudio;
        host.id() == pulse || !cpal::available_hosts().contains(&pulse)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = host;
        true
    }
}

/// How a device is run.
struct Choice {
    config: StreamConfig,
    format: SampleFormat,
}

impl Choice {
    /// 48 kHz and float where the device does that, else what it prefers.
    fn of(
        device: &cpal::Device,
        direction: Direction,
        latency: LatencyMode,
    ) -> Result<Self, OpenDeviceError> {
        let told = match direction {
            Direction::Capture => device.default_input_config(),
            Direction::Render => device.default_output_config(),
        };
        let preferred = told.map_err(|error| refused(&error))?;
        let ranges = ranges_of(device, direction);
        let suits = |range: &SupportedStreamConfigRange, format| {
            range.channels() == preferred.channels()
                && range.sample_format() == format
                && range.contains_rate(SAMPLE_RATE)
        };
        let (format, sample_rate) = [SampleFormat::F32, preferred.sample_format()]
            .into_iter()
            .find(|format| ranges.iter().any(|range| suits(range, *format)))
            .map_or_else(
                || (preferred.sample_format(), preferred.sample_rate()),
                |format| (format, SAMPLE_RATE),
            );
        let buffer_size = buffer_size(preferred.buffer_size(), latency);
        let config = StreamConfig { channels: preferred.channels(), sample_rate, buffer_size };
        Ok(Self { config, format })
    }
}

fn ranges_of(device: &cpal::Device, direction: Direction) -> Vec<SupportedStreamConfigRange> {
    match direction {
        Direction::Capture => device.supported_input_configs().map(Iterator::collect),
        Direction::Render => device.supported_output_configs().map(Iterator::collect),
    }
    .unwrap_or_default()
}

fn buffer_size(supported: &SupportedBufferSize, latency: LatencyMode) -> BufferSize {
    let wanted = PERIOD / latency.device_share();
    match supported {
        SupportedBufferSize::Range { min, max } if min <= max => BufferSize::Fixed(wanted.clamp(*min, *max)),
        _ => BufferSize::Fixed(wanted),
    }
}

fn id_of(device: &cpal::Device) -> Option<DeviceId> {
    device.id().ok()?.to_string().parse().ok()
}

/// Real time is asked for by the callback's own thread, once, before its first sound: the one system call of a callback.
fn ask_once(first: &mut bool) {
    if std::mem::take(first) {
        ask_for_real_time(CALLBACK_PRIORITY);
    }
}

/// Error callbacks can fire a million times a second: they count.
fn counting(health: Arc<DeviceHealth>) -> impl FnMut(cpal::Error) + Send + 'static {
    move |error| {
        health.count_error(match error.kind() {
            ErrorKind::DeviceNotAvailable | ErrorKind::StreamInvalidated | ErrorKind::HostUnavailable => {
                ErrorSeverity::Gone
            }
            ErrorKind::Xrun | ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied => ErrorSeverity::Passing,
            _ => ErrorSeverity::Failure,
        });
    }
}

fn refused(error: &cpal::Error) -> OpenDeviceError {
    match error.kind() {
        ErrorKind::DeviceBusy => OpenDeviceError::Busy,
        ErrorKind::PermissionDenied => OpenDeviceError::PermissionDenied,
        ErrorKind::HostUnavailable | ErrorKind::StreamInvalidated => {
            OpenDeviceError::NoSoundSystem(error.to_string())
        }
        ErrorKind::DeviceNotAvailable => OpenDeviceError::NotFound(Device::Default),
        _ => OpenDeviceError::Unusable(error.to_string()),
    }
}

fn deliver_as<T>(callback: &mut CaptureCallback, data: &cpal::Data, channels: usize)
where
    T: SizedSample,
    f32: FromSample<T>,
{
    if let Some(samples) = data.as_slice::<T>() {
        callback.deliver_interleaved(samples, channels, |sample| f32::from_sample(sample));
    }
}

fn fill_as<T: SizedSample + FromSample<f32>>(
    callback: &mut RenderCallback,
    data: &mut cpal::Data,
    channels: usize,
) {
    if let Some(samples) = data.as_slice_mut::<T>() {
        callback.fill_interleaved(samples, channels, |sample| T::from_sample(sample));
    }
}

fn deliver(callback: &mut CaptureCallback, data: &cpal::Data, channels: usize) {
    match data.sample_format() {
        SampleFormat::I8 => deliver_as::<i8>(callback, data, channels),
        SampleFormat::I16 => deliver_as::<i16>(callback, data, channels),
        SampleFormat::I24 => deliver_as::<cpal::I24>(callback, data, channels),
        SampleFormat::I32 => deliver_as::<i32>(callback, data, channels),
        SampleFormat::I64 => deliver_as::<i64>(callback, data, channels),
        SampleFormat::U8 => deliver_as::<u8>(callback, data, channels),
        SampleFormat::U16 => deliver_as::<u16>(callback, data, channels),
        SampleFormat::U24 => deliver_as::<cpal::U24>(callback, data, channels),
        SampleFormat::U32 => deliver_as::<u32>(callback, data, channels),
        SampleFormat::U64 => deliver_as::<u64>(callback, data, channels),
        SampleFormat::F64 => deliver_as::<f64>(callback, data, channels),
        _ => deliver_as::<f32>(callback, data, channels),
    }
}

fn fill(callback: &mut RenderCallback, data: &mut cpal::Data, channels: usize) {
    match data.sample_format() {
        SampleFormat::I8 => fill_as::<i8>(callback, data, channels),
        SampleFormat::I16 => fill_as::<i16>(callback, data, channels),
        SampleFormat::I24 => fill_as::<cpal::I24>(callback, data, channels),
        SampleFormat::I32 => fill_as::<i32>(callback, data, channels),
        SampleFormat::I64 => fill_as::<i64>(callback, data, channels),
        SampleFormat::U8 => fill_as::<u8>(callback, data, channels),
        SampleFormat::U16 => fill_as::<u16>(callback, data, channels),
        SampleFormat::U24 => fill_as::<cpal::U24>(callback, data, channels),
        SampleFormat::U32 => fill_as::<u32>(callback, data, channels),
        SampleFormat::U64 => fill_as::<u64>(callback, data, channels),
        SampleFormat::F64 => fill_as::<f64>(callback, data, channels),
        _ => fill_as::<f32>(callback, data, channels),
    }
}
