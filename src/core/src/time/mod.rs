//! Time: conversion between counter ticks and nanoseconds, and the timer queue.

pub mod callout;
pub mod scale;
pub mod timers;
