//! Time: conversion between counter ticks and nanoseconds, and the timer queue.

pub mod scale;
pub mod timers;
