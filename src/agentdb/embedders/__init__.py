"""
Embedders, ready to use: `PrismaAgentClient(embedder=OpenAIEmbedder(…))`.

None of their libraries is imported before an embedder is made; each is an extra, as in
`pip install 'agentdb[model2vec]'`.
"""

from agentdb.embedders.function import CallableEmbedder
from agentdb.embedders.model2vec import Model2VecEmbedder
from agentdb.embedders.openai import OpenAIEmbedder
from agentdb.embedders.sentence_transformer import SentenceTransformerEmbedder
from agentdb.embedders.spelling import SpellingEmbedder

__all__ = ["CallableEmbedder", "Model2VecEmbedder", "OpenAIEmbedder", "SentenceTransformerEmbedder", "SpellingEmbedder"]
