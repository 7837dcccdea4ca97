// The handler of the signals that a worker disregards. It is assembly because the kernel calls it, with none of what a Go function may rely on.

//go:build amd64 || arm64

#include "textflag.h"

TEXT nothing<>(SB), NOSPLIT|NOFRAME, $0-0
	RET

DATA ·doNothing(SB)/8, $nothing<>(SB)
GLOBL ·doNothing(SB), RODATA|NOPTR, $8
