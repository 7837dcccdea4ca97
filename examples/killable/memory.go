//go:build !race

package main

// memoryLimit is what a worker may take, in bytes.
const memoryLimit = 128 << 20
