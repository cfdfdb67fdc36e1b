// SPDX-License-Identifier: Apache-2.0
// The one file in C++: libsentencepiece has no other interface. No exception
// leaves it.
#include "sentencepiece.h"

#include <new>
#include <string>
#include <vector>

#include <sentencepiece_processor.h>

void *pl_spm_new(const void *model, size_t len)
{
	try {
		auto *spm = new sentencepiece::SentencePieceProcessor;
		if (spm->LoadFromSerializedProto({static_cast<const char *>(model), len}).ok() && spm->GetPieceSize() > 0)
			return spm;
		delete spm;
	} catch (...) {
	}
	return nullptr;
}

void pl_spm_free(void *spm)
{
	delete static_cast<sentencepiece::SentencePieceProcessor *>(spm);
}

int64_t pl_spm_count(const void *spm, const char *s, size_t len)
{
	try {
		std::vector<int> ids;
		if (static_cast<const sentencepiece::SentencePieceProcessor *>(spm)->Encode({s, len}, &ids).ok())
			return static_cast<int64_t>(ids.size());
	} catch (...) {
	}
	return -1;
}
