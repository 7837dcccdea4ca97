//go:build race

package main

// memoryLimit is what a cook may take, in bytes. A program with the race detector takes some 300 MiB
// before it does anything.
const memoryLimit = 1 << 30
