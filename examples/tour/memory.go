//go:build !race

package main

// memoryLimit is what a cook may take, in bytes.
const memoryLimit = 256 << 20
