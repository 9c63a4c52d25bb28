//! `#[derive(Module)]`: the visit of a model's parameters, field by field.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Error, Field, Fields, Index, LitStr, Result, parse_macro_input};

/// Implements `toygrad::nn::Module` for a struct or an enum: its parameters are those of its
/// fields, named after them (`layers.0.weight`; the fields of a tuple are numbered).
///
/// Each field's type is a `Module` itself: a `Parameter`, a layer, an `Option`, `Vec`, array, `Box`
/// or tuple of them, or a plain type (numbers, strings, ...), which has no parameters. Of an enum,
/// the fields of the variant at hand are visited, and a variant with one unnamed field stands for
/// that field.
///
/// - `#[module(skip)]` leaves a field out; then its type needs not be a `Module`.
/// - `#[module(name = "c_attn")]` gives a field another name in paths.
#[proc_macro_derive(Module, attributes(module))]
pub fn derive_module(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(input)
        .unwrap_or_else(|e| e.to_compile_error())
        .into()
}

fn expand(mut input: DeriveInput) -> Result<TokenStream> {
    let body = match &input.data {
        Data::Struct(data) => {
            let visits = data.fields.iter().enumerate().map(|(i, field)| {
                let access = match &field.ident {
                    Some(name) => quote!(&self.#name),
                    None => {
                        let index = Index::from(i);
                        quote!(&self.#index)
                    }
                };
                visit(i, field, access)
            });
            let visits = visits.collect::<Result<TokenStream>>()?;
            quote!(#visits)
        }
        Data::Enum(data) => {
            let arms = data
                .variants
                .iter()
                .map(|v| arm(&v.ident, &v.fields))
                .collect::<Result<Vec<_>>>()?;
            match arms.is_empty() {
                true => quote!(match *self {}),
                false => quote!(match self { #(#arms)* }),
            }
        }
        Data::Union(_) => {
            return Err(Error::new_spanned(
                &input.ident,
                "a union cannot be a Module",
            ));
        }
    };
    for parameter in input.generics.type_params_mut() {
        parameter
            .bounds
            .push(syn::parse_quote!(::toygrad::nn::Module));
    }
    let name = &input.ident;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        impl #generics ::toygrad::nn::Module for #name #arguments #bounds {
            #[allow(unused_variables)]
            fn visit(
                &self,
                prefix: &str,
                visitor: &mut dyn ::std::ops::FnMut(&str, &::toygrad::Parameter),
            ) {
                #body
            }
        }
    })
}

/// One arm of the match over an enum's variants.
fn arm(variant: &syn::Ident, fields: &Fields) -> Result<TokenStream> {
    let binding = |i: usize| format_ident!("field_{i}");
    let bindings: Vec<_> = (0..fields.len()).map(binding).collect();
    let visits = match fields {
        Fields::Unnamed(f) if f.unnamed.len() == 1 && !options(&f.unnamed[0])?.skip => {
            quote!(::toygrad::nn::Module::visit(field_0, prefix, visitor);)
        }
        _ => fields
            .iter()
            .enumerate()
            .map(|(i, field)| {
                let access = binding(i);
                visit(i, field, quote!(#access))
            })
            .collect::<Result<TokenStream>>()?,
    };
    Ok(match fields {
        Fields::Named(f) => {
            let names = f.named.iter().map(|field| &field.ident);
            quote!(Self::#variant { #(#names: #bindings),* } => { #visits })
        }
        Fields::Unnamed(_) => quote!(Self::#variant(#(#bindings),*) => { #visits }),
        Fields::Unit => quote!(Self::#variant => {}),
    })
}

/// The visit of one field.
fn visit(position: usize, field: &Field, access: TokenStream) -> Result<TokenStream> {
    let options = options(field)?;
    if options.skip {
        return Ok(TokenStream::new());
    }
    let name = match (options.name, &field.ident) {
        (Some(name), _) => name,
        (None, Some(ident)) => ident.to_string().trim_start_matches("r#").to_string(),
        (None, None) => position.to_string(),
    };
    Ok(quote! {
        ::toygrad::nn::Module::visit(#access, &::toygrad::nn::path(prefix, #name), visitor);
    })
}

#[derive(Default)]
struct Options {
    skip: bool,
    name: Option<String>,
}

/// What the `#[module(..)]` attributes of a field say.
fn options(field: &Field) -> Result<Options> {
    let mut options = Options::default();
    for attribute in field.attrs.iter().filter(|a| a.path().is_ident("module")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("skip") {
                options.skip = true;
            } else if meta.path.is_ident("name") {
                options.name = Some(meta.value()?.parse::<LitStr>()?.value());
            } else {
                return Err(meta.error("`skip` and `name = \"..\"` are what a field can have"));
            }
            Ok(())
        })?;
    }
    Ok(options)
}
