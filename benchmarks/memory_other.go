//go:build !linux

package main

import "errors"

const canReadMemory = false

func memoryOf(int) ([]float64, error) { return nil, errors.ErrUnsupported }
